"""Permissions of repositories that so many may see that their readers come in parts."""

from api.graphql.ids import repository_node_id
from infra.kafka.producer import Publisher
from schemas.accounts.names import user_id
from schemas.events import RepositoryPermissionsChanged
from schemas.ids import repository_id
from schemas.repositories.events import MOST_READERS
from tests.integration.api.conftest import Api
from tests.integration.api.questions import say

NAME = "git.example.com/team/large"
SHOWN = "query S($name: String!, $min: [String!]) { repository(name: $name, minPosition: $min) { permissionsInfo { unrestricted usernames } } }"
SET = "mutation U($ids: [ID!]!, $open: Boolean!) { setRepositoryPermissionsUnrestricted(repositories: $ids, unrestricted: $open) { alwaysNil } }"


def test_opening_and_closing_a_repository_keeps_all_its_readers(api: Api, publisher: Publisher) -> None:
    api.ask(f'mutation {{ addRepository(input: {{ name: "{NAME}", path: "/p" }}) {{ position }} }}')
    api.ask('mutation { createUser(username: "last") { user { id } } }')
    position: list[str] = []
    for part, users in ((1, list(range(1, MOST_READERS + 1))), (2, [user_id("last")])):
        changed = RepositoryPermissionsChanged(
            repository_id=repository_id(NAME), restricted=True, change="c", users=users, part=part, of=2
        )
        position = say(publisher, changed)

    def shown(*least: str) -> object:
        return api.ask(SHOWN, {"name": NAME, "min": list(least)})["repository"]["permissionsInfo"]

    assert shown(*position) == {"unrestricted": False, "usernames": ["last"]}
    node = repository_node_id(repository_id(NAME))
    for opened, key in ((True, "open"), (False, "close"), (False, "close")):
        api.ask(SET, {"ids": [node], "open": opened}, key=key)
        assert shown() == {"unrestricted": opened, "usernames": ["last"]}
