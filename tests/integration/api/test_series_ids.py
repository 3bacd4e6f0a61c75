"""A series id is a hash over what its insight lists: who may not see all of it cannot try names of repositories against it."""

from typing import Any

from api.graphql.ids import repository_node_id
from schemas.ids import SeriesIdentity, repository_id, series_id
from tests.integration.api.conftest import Api
from tests.integration.api.questions import ADD, create

OPEN, CLOSED = "git.example.com/ids/open", "git.example.com/ids/closed"
IDS = """
query Ids($id: ID!) {
  insightViews(id: $id) {
    nodes {
      dataSeries { seriesId }
      presentation { ... on LineChartInsightViewPresentation { seriesPresentation { seriesId } } }
      dataSeriesDefinitions { ... on SearchInsightDataSeriesDefinition { seriesId repositoryScope { repositories } } }
    }
  }
}
"""


def reader(api: Api, name: str) -> str:
    """The token of a new account."""
    made = api.ask(f'mutation {{ createUser(username: "{name}") {{ user {{ id }} }} }}')
    text = 'mutation T($id: ID!) { createAccessToken(user: $id, scopes: ["read"], note: "n") { token } }'
    token: str = api.ask(text, {"id": made["createUser"]["user"]["id"]})["createAccessToken"]["token"]
    return token


def ids(api: Api, view: str, token: str) -> set[str]:
    """Every series id that is told of the insight."""
    headers = {"authorization": f"token {token}"}
    body: Any = api.post(IDS, {"id": view}, headers=headers).json()
    assert "errors" not in body, body
    (node,) = body["data"]["insightViews"]["nodes"]
    told = [*node["dataSeries"], *node["presentation"]["seriesPresentation"], *node["dataSeriesDefinitions"]]
    assert len(told) == 3
    return {one["seriesId"] for one in told}


def test_a_list_with_a_hidden_repository_is_not_told_by_its_series_id(api: Api) -> None:
    for name in (OPEN, CLOSED):
        api.ask(ADD, {"input": {"name": name, "path": f"/{name}"}})
    ann, bob = reader(api, "ids-ann"), reader(api, "ids-bob")
    views = {
        listed: create(api, "ids", "needle", repositories=listed)["view"]["id"]
        for listed in ((OPEN,), (CLOSED,), (CLOSED, OPEN))
    }
    raw = {
        listed: series_id(
            SeriesIdentity(query="needle", repositories=[repository_id(name) for name in listed])
        )
        for listed in views
    }
    assert ids(api, views[CLOSED,], bob) == {raw[CLOSED,]}, "everybody sees it yet"
    api.ask(
        "mutation P($id: ID!) { setRepositoryPermissionsForUsers("
        'repository: $id, userPermissions: [{ bindID: "ids-ann" }]) { alwaysNil } }',
        {"id": repository_node_id(repository_id(CLOSED))},
    )
    assert ids(api, views[OPEN,], bob) == {raw[OPEN,]}
    for listed in ((CLOSED,), (CLOSED, OPEN)):
        assert ids(api, views[listed], ann) == ids(api, views[listed], api.token) == {raw[listed]}
        (told,) = ids(api, views[listed], bob)
        assert told not in raw.values()
        assert (told[:2], len(told)) == ("s:", len(raw[listed]))
        assert ids(api, views[listed], bob) == {told}, "the same each time, or a page would see another line"
