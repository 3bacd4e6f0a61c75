"""Opening and closing repositories: who may see them stays as it was laid down last, in however many parts."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import create_app
from api.graphql.ids import repository_node_id
from api.graphql.limits import OperationLimits
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.generations import live_generations
from schemas.accounts.names import user_id
from schemas.events import RepositoryPermissionsChanged
from schemas.ids import repository_id
from schemas.repositories.events import MOST_READERS
from tests.integration.api.conftest import BASE, Api
from tests.integration.api.questions import say

NAME = "git.example.com/team/large"
SHOWN = "query S($name: String!, $min: [String!]) { repository(name: $name, minPosition: $min) { permissionsInfo { unrestricted usernames } } }"
SET = "mutation U($ids: [ID!]!, $open: Boolean!) { setRepositoryPermissionsUnrestricted(repositories: $ids, unrestricted: $open) { alwaysNil } }"

LIST = "mutation L($id: ID!, $users: [UserPermissionInput!]!) { setRepositoryPermissionsForUsers(repository: $id, userPermissions: $users) { position } }"


def followed(api: Api, name: str) -> str:
    """The repository's node id."""
    api.ask(
        'mutation A($name: String!) { addRepository(input: { name: $name, path: "/p" }) { position } }',
        {"name": name},
    )
    return repository_node_id(repository_id(name))


def listed(api: Api, node: str, *users: str) -> None:
    api.ask(LIST, {"id": node, "users": [{"bindID": one} for one in users]})


def seen(api: Api, name: str) -> object:
    return api.ask(SHOWN, {"name": name, "min": []})["repository"]["permissionsInfo"]


@contextmanager
def held_back(settings: Settings, projection: str) -> Iterator[None]:
    """The projection stands where it is."""
    database = make_engine(settings, Role.PROJECTOR, pool_size=1)
    with database.connect() as connection:
        schema = live_generations(connection)[projection].schema_name
        connection.execute(text(f"select from {schema}.checkpoints for update"))
        yield
        connection.rollback()
    database.dispose()


def test_who_was_just_taken_away_is_not_brought_back(api: Api, publisher: Publisher) -> None:
    name = "git.example.com/team/left"
    node = followed(api, name)
    for user in ("ann", "bob"):
        api.ask("mutation C($name: String!) { createUser(username: $name) { user { id } } }", {"name": user})
    listed(api, node, "ann", "bob")
    close = {"ids": [node], "open": False}
    app = create_app(api.settings, limits=OperationLimits(wait_s=0.5))
    with held_back(api.settings, "access"), TestClient(app, base_url=BASE) as http:
        say(
            publisher,
            RepositoryPermissionsChanged(
                repository_id=repository_id(name), restricted=True, change="left", users=[user_id("ann")]
            ),
        )
        error = Api(app, http, api.token, api.settings).error(SET, close, key="close-left")
    assert error["extensions"]["code"] == "NOT_YET_APPLIED"
    api.ask(SET, close, key="close-left")
    assert seen(api, name) == {"unrestricted": False, "usernames": ["ann"]}


def test_a_repeat_goes_on_where_the_first_was_refused(api: Api) -> None:
    names = ["git.example.com/team/one", "git.example.com/team/two"]
    api.ask('mutation { createUser(username: "cyd") { user { id } } }')
    first = followed(api, names[0])
    listed(api, first, "cyd")
    both = {"ids": [repository_node_id(repository_id(name)) for name in names], "open": False}
    assert api.error(SET, both, key="both")["extensions"]["code"] == "NOT_FOUND"
    listed(api, first)
    followed(api, names[1])
    api.ask(SET, both, key="both")
    for name in names:
        assert seen(api, name) == {"unrestricted": False, "usernames": []}, (
            "the first one as it was laid down since"
        )
    other = api.error(SET, {**both, "open": True}, key="both")
    assert other["extensions"]["field"] == "Idempotency-Key"


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
