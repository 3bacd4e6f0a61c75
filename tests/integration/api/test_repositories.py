"""Repositories through GraphQL: added once, listed by name in pages, chosen by what clients send."""

import pytest

from api.graphql.ids import repository_id_of
from infra.kafka.producer import Publisher
from schemas.codec import new_event
from schemas.events import RepositoryCloneFailed, RepositoryPushed
from schemas.ids import repository_id
from tests.integration.api.conftest import Api
from tests.support.projecting import T0

ADD = "mutation Add($input: AddRepositoryInput!) { addRepository(input: $input) { position repository { id name isFork } } }"
NAMES = [f"git.example.com/{name}" for name in ("alpha", "beta", "delta", "gamma")]


@pytest.fixture(scope="module", autouse=True)
def added(api: Api, publisher: Publisher) -> str:
    """Four repositories: alpha's clone is ready, beta's has failed, the others wait. A position after all of that."""
    for name in reversed(NAMES):
        api.ask(ADD, {"input": {"name": name, "cloneUrl": f"https://{name}.git"}})
    ready = RepositoryPushed(repository_id=repository_id(NAMES[0]), default_branch="main", tip="a" * 40)
    broken = RepositoryCloneFailed(
        repository_id=repository_id(NAMES[1]), reason="timeout", message="too slow"
    )
    events = [new_event(payload, source="//test", time=T0) for payload in (ready, broken)]
    positions = publisher.publish(events)
    for position in positions:
        api.ask(
            "query W($min: [String!]) { repositories(first: 1, minPosition: $min) { totalCount } }",
            {"min": [str(position)]},
        )
    return str(positions[0])


def names(api: Api, arguments: str) -> list[str]:
    found = api.ask(f"{{ repositories({arguments}) {{ nodes {{ name }} }} }}")["repositories"]["nodes"]
    return [one["name"] for one in found]


def test_adding_again_changes_nothing_unless_something_changed(api: Api) -> None:
    given = {"input": {"name": NAMES[0], "cloneUrl": f"https://{NAMES[0]}.git"}}
    first = api.ask(ADD, given)["addRepository"]
    assert api.ask(ADD, given)["addRepository"] == first
    assert repository_id_of(first["repository"]["id"]) == repository_id(NAMES[0])
    forked = api.ask(ADD, {"input": {**given["input"], "fork": True}})["addRepository"]
    assert forked["repository"] == {**first["repository"], "isFork": True}
    assert forked["position"] != first["position"]


def test_a_refused_input_names_the_argument(api: Api) -> None:
    error = api.error(ADD, {"input": {"path": "relative"}})
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("INVALID_INPUT", "path")


def test_the_list_is_by_name_in_pages(api: Api) -> None:
    query = """
      query Page($after: String) {
        repositories(first: 3, after: $after) { nodes { name } totalCount pageInfo { endCursor hasNextPage } }
      }
    """
    first = api.ask(query)["repositories"]
    assert [one["name"] for one in first["nodes"]] == NAMES[:3]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (4, True)
    second = api.ask(query, {"after": first["pageInfo"]["endCursor"]})["repositories"]
    assert [one["name"] for one in second["nodes"]] == NAMES[3:]
    assert second["pageInfo"] == {"endCursor": None, "hasNextPage": False}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("first: -1", NAMES),
        ('query: "ETA"', [NAMES[1]]),
        (f'names: ["{NAMES[2]}", "{NAMES[0]}", "none"]', [NAMES[0], NAMES[2]]),
        ("names: []", []),
        ("notCloned: false", [NAMES[0]]),
        ("cloned: false", NAMES[1:]),
        ("failedFetch: true", [NAMES[1]]),
        ("descending: true", list(reversed(NAMES))),
        ("orderBy: REPOSITORY_CREATED_AT", list(reversed(NAMES))),
        ("orderBy: REPO_CREATED_AT, descending: true", NAMES),
        ("first: 2, descending: true", [NAMES[3], NAMES[2]]),
        ("indexed: true, notIndexed: true, orderBy: REPOSITORY_NAME", NAMES),
    ],
)
def test_clients_choose_and_order(api: Api, arguments: str, found: list[str]) -> None:
    assert names(api, arguments) == found


def test_a_repository_says_where_it_comes_from_and_how_its_clone_is(api: Api) -> None:
    query = """
      query One($name: String!) {
        repository(name: $name) {
          url isPrivate viewerCanAdminister
          defaultBranch { name displayName abbrevName target { oid abbreviatedOID } }
          mirrorInfo { remoteURL cloned cloneInProgress lastError shallow }
          externalRepository { id serviceType serviceID }
        }
      }
    """
    alpha, beta, gamma = (api.ask(query, {"name": NAMES[place]})["repository"] for place in (0, 1, 3))
    assert alpha["defaultBranch"] == {
        "name": "refs/heads/main",
        "displayName": "main",
        "abbrevName": "main",
        "target": {"oid": "a" * 40, "abbreviatedOID": "a" * 7},
    }
    assert alpha["mirrorInfo"] == {
        "remoteURL": f"https://{NAMES[0]}.git",
        "cloned": True,
        "cloneInProgress": False,
        "lastError": None,
        "shallow": False,
    }
    assert alpha["externalRepository"] == {
        "id": NAMES[0],
        "serviceType": "other",
        "serviceID": "git.example.com",
    }
    assert beta["mirrorInfo"]["lastError"] == "timeout: too slow"
    assert (gamma["defaultBranch"], gamma["mirrorInfo"]["cloneInProgress"]) == (None, True)
    assert api.ask(query, {"name": "git.example.com/none"})["repository"] is None
