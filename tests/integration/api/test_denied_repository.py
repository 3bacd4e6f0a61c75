"""A repository that somebody may not see is, for them, like one that does not exist: in answers, counts, cursors, pages and errors."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from api.app import create_app
from api.commands.errors import Code
from api.graphql.ids import repository_node_id
from api.graphql.limits import OperationLimits
from api.graphql.schema import executable_schema
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import ALL, Reader
from schemas.accounts.names import user_id
from schemas.codec import new_event
from schemas.events import (
    ObligationFailed,
    RepositoryPermissionsChanged,
)
from schemas.registry import Payload
from schemas.topics import Topic
from schemas.triggers.ids import trigger_job_id
from tests.integration.api.conftest import BASE, Api
from tests.integration.api.seen_history import (
    EVERYWHERE,
    IDS,
    INSIGHT,
    LISTED,
    LISTING,
    MOMENT,
    NOW,
    history,
    line,
    monitor,
)
from tests.integration.api.sight import (
    ABOUT,
    ABSENT,
    DENIED,
    ERROR_CODES,
    HOST,
    MONITOR_ID,
    MUTATIONS,
    PAGES,
    QUERIES,
    SEEN,
    UPLOADS,
    Sight,
    upload_of,
)
from tests.support.schema_probe import fitting, whole

WIDE = OperationLimits(
    tokens=10**6, depth=100, aliases=10**5, directives=10**4, definitions=10**4, fields=10**6, cost=10**12
)
SCHEMA = executable_schema()
CREATE_USER = "mutation C($name: String!) { createUser(username: $name) { user { id } } }"
CREATE_TOKEN = 'mutation T($id: ID!, $scopes: [String!]!) { createAccessToken(user: $id, scopes: $scopes, note: "n") { id token } }'


class Asking:
    """The API as somebody asks it."""

    def __init__(self, http: TestClient, token: str) -> None:
        self._http = http
        self._token = token

    def graphql(self, text: str) -> Any:
        answer = self._http.post("/graphql", json={"query": text}, headers=self._headers())
        return answer.json()

    def get(self, address: str, accept: str = "text/html") -> tuple[int, str]:
        answer = self._http.get(address, headers=self._headers() | {"accept": accept})
        return answer.status_code, answer.text

    def post(self, address: str, body: object) -> tuple[int, Any]:
        headers = self._headers() | {"content-type": "application/cloudevents+json"}
        answer = self._http.post(address, content=orjson.dumps(body), headers=headers)
        return answer.status_code, answer.json()

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"token {self._token}"}


class Matrix:
    """What ``ann`` was told before there was a denied repository, and how she asks now. ``bob`` may see it."""

    def __init__(self, api: Api, publisher: Publisher, reader: Reader, http: TestClient) -> None:
        self.api, self._publisher, self._reader = api, publisher, reader
        self.ann, self.bob = Asking(http, self._token("ann")), Asking(http, self._token("bob"))
        self._say(
            [
                (line(INSIGHT, EVERYWHERE, None), None),
                (line(LISTING, LISTED, sorted((IDS[SEEN], IDS[DENIED]))), None),
                (monitor(), None),
            ]
        )
        self._say(history(SEEN))
        self.before = {name: self.told(name) for name, (sight, _) in QUERIES.items() if sight is Sight.TELLS}
        self.pages_before = {path: self.page(path) for path in self.telling_pages()}
        restricted = RepositoryPermissionsChanged(
            repository_id=IDS[DENIED], restricted=True, change="c", users=[user_id("bob")]
        )
        self._say([(restricted, None)])
        self._say(history(DENIED))

    def told(self, name: str, asking: Asking | None = None) -> Any:
        """The whole answer of a root field."""
        field = SCHEMA.query_type.fields[name]  # type: ignore[union-attr]
        answer = (asking or self.ann).graphql(f"query {{ {name}{QUERIES[name][1]} {whole(SCHEMA, field)} }}")
        assert "errors" not in answer, (name, answer["errors"])
        return _steady(answer["data"])

    @staticmethod
    def telling_pages() -> list[str]:
        return [path for path, (sight, _) in PAGES.items() if sight is Sight.TELLS]

    def page(self, path: str, last: str = "seen", asking: Asking | None = None) -> tuple[int, str]:
        """A page as ann sees it, without what differs each time."""
        name = f"{HOST}/{last}"
        run = trigger_job_id(MONITOR_ID, IDS[name], MOMENT)
        address = PAGES[path][1].format(
            insight=INSIGHT, last=last, name=name, upload=upload_of(name), run=run
        )
        status, text = (asking or self.ann).get(address)
        for steady in (
            r"<time[^>]*>.*?</time>",
            r'name="(csrf_token|key)" value="[^"]*"',
            r"\?v=[0-9a-f]+",
            r'"asOf".*',
        ):
            text = re.sub(steady, "", text)
        return status, text

    def _token(self, name: str) -> str:
        made = self.api.ask(CREATE_USER, {"name": name})["createUser"]["user"]["id"]
        given = {"id": made, "scopes": ["write"]}
        token: str = self.api.ask(CREATE_TOKEN, given)["createAccessToken"]["token"]
        return token

    def _say(self, said: list[tuple[Payload, str | None]]) -> None:
        events = [new_event(one, source="//test", time=NOW, event_id=name) for one, name in said]
        owed = [one for one in events if isinstance(one.data, ObligationFailed)]
        positions = self._publisher.publish([one for one in events if one not in owed])
        positions += self._publisher.publish(owed, topic=Topic.REPOSITORIES)
        assert all(self._reader.wait_for(name, positions, 60.0) for name in ALL)


def _steady(data: Any) -> Any:
    """Without what is another moment each time."""
    if isinstance(data, dict):
        return {
            name: _steady(value)
            for name, value in data.items()
            if name not in ("durationSeconds", "runtime", "countingSeconds", "diffQuery", "pointInTimeQuery")
            and name != "times"
        }
    return [_steady(one) for one in data] if isinstance(data, list) else data


@pytest.fixture(scope="module")
def matrix(api: Api, settings: Settings, publisher: Publisher) -> Iterator[Matrix]:
    database = make_engine(settings, Role.WORKER, name="matrix")
    reader = Reader(database)
    with TestClient(create_app(settings, limits=WIDE), base_url=BASE, follow_redirects=False) as http:
        yield Matrix(api, publisher, reader, http)
    reader.close()
    database.dispose()


def test_every_root_field_is_classified() -> None:
    assert SCHEMA.query_type is not None
    assert SCHEMA.mutation_type is not None
    assert set(QUERIES) == set(SCHEMA.query_type.fields)
    assert set(MUTATIONS) == set(SCHEMA.mutation_type.fields)


def test_every_address_is_classified(api: Api) -> None:
    assert {route.path for route in api.app.routes if isinstance(route, Route)} == set(PAGES)
    assert [route.path for route in api.app.routes if isinstance(route, Mount)] == ["/static"]
    assert all(isinstance(route, Route | Mount) for route in api.app.routes)


def test_every_kind_of_error_is_classified() -> None:
    assert {code.value for code in Code} == ERROR_CODES


def test_the_denied_repository_is_there_for_who_may_see_it(matrix: Matrix) -> None:
    """Or the comparisons below would prove nothing: for bob every one of these answers has changed."""
    changed = {name for name, told in matrix.before.items() if matrix.told(name, matrix.bob) != told}
    assert {"repositories", "insightViews", "insightPreview", "previewRepositoriesFromQuery"} <= changed
    assert DENIED in matrix.page("/repositories", asking=matrix.bob)[1]


@pytest.mark.parametrize("name", [name for name, (sight, _) in QUERIES.items() if sight is Sight.TELLS])
def test_an_answer_is_the_one_from_before(matrix: Matrix, name: str) -> None:
    assert matrix.told(name) == matrix.before[name]


@pytest.mark.parametrize("path", Matrix.telling_pages())
def test_a_page_is_the_one_from_before(matrix: Matrix, path: str) -> None:
    assert matrix.page(path) == matrix.pages_before[path]
    assert matrix.page(path)[0] in (200, 303)


@pytest.mark.parametrize(
    "path",
    [path for path in Matrix.telling_pages() if re.search("{(last|name|run)}", PAGES[path][1])],
)
def test_a_page_about_it_is_that_of_an_absent_one(matrix: Matrix, path: str) -> None:
    (status, denied), (other, absent) = matrix.page(path, "denied"), matrix.page(path, "absent")
    for own, name in ((DENIED, "denied"), (ABSENT, "absent")):
        marks = (name, upload_of(own), str(trigger_job_id(MONITOR_ID, IDS[own], MOMENT)))
        for mark in marks:
            denied, absent = denied.replace(mark, "X"), absent.replace(mark, "X")
    assert (status, denied) == (other, absent)


@pytest.mark.parametrize("path", ["/.api/scip/upload", "/.api/lsif/upload"])
def test_an_upload_to_it_is_answered_like_one_to_an_absent_one(matrix: Matrix, path: str) -> None:
    answers = []
    for name in (DENIED, ABSENT):
        status, said = matrix.ann.post(
            f"{path}?repository={name}&commit={'a' * 40}&root=&indexerName=scip-x", {}
        )
        answers.append((status, orjson.dumps(said).decode().replace(name.rsplit("/", 1)[1], "X")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


@pytest.mark.parametrize("text", ABOUT)
def test_an_operation_about_it_is_answered_like_one_about_an_absent_one(matrix: Matrix, text: str) -> None:
    answers = []
    for name in (DENIED, ABSENT):
        last = name.rsplit("/", 1)[1]
        node = repository_node_id(IDS[name])
        upload = upload_of(name)
        answer = matrix.ann.graphql(text.format(name=name, last=last, id=node, upload=upload))
        shown = orjson.dumps(
            {key: _steady(answer[key]) for key in ("data", "errors") if key in answer}
        ).decode()
        for own in (node, str(IDS[name]), last, upload, str(UPLOADS[name])):
            shown = shown.replace(own, "X")
        answers.append(shown)
    assert answers[0] == answers[1]


def _operators() -> list[tuple[str, str]]:
    queries = [("query", name) for name, (sight, _) in QUERIES.items() if sight is Sight.OPERATORS]
    return queries + [("mutation", name) for name, sight in MUTATIONS.items() if sight is Sight.OPERATORS]


@pytest.mark.parametrize(("kind", "name"), _operators())
def test_operators_fields_are_refused_before_anything_is_looked_at(
    matrix: Matrix, kind: str, name: str
) -> None:
    root = SCHEMA.query_type if kind == "query" else SCHEMA.mutation_type
    assert root is not None
    field = root.fields[name]
    answer = matrix.ann.graphql(f"{kind} {{ {name}{fitting(field)} {whole(SCHEMA, field, 1)} }}")
    assert [one["extensions"]["code"] for one in answer["errors"]] == ["NOT_PERMITTED"], answer


@pytest.mark.parametrize("path", [path for path, (sight, _) in PAGES.items() if sight is Sight.OPERATORS])
def test_operators_pages_are_refused(matrix: Matrix, path: str) -> None:
    assert matrix.ann.get(PAGES[path][1])[0] == 403


def test_an_event_about_it_is_refused_like_one_about_an_absent_one(matrix: Matrix) -> None:
    def post(name: str, **more: object) -> tuple[int, str]:
        event = {
            "specversion": "1.0",
            "id": "p-1",
            "source": "//ann",
            "type": "millstream.repository.refresh_requested",
            "data": {"repository_id": IDS[name]},
            **more,
        }
        status, answer = matrix.ann.post("/events", event)
        return status, orjson.dumps(answer).decode().replace(str(IDS[name]), "X")

    assert post(DENIED) == post(ABSENT)
    assert post(DENIED)[0] == 404
    # An id that was used for it is as free as any other.
    assert (
        post(SEEN, id="of-denied", source="//test")[0]
        == post(SEEN, id="of-absent", source="//test")[0]
        == 202
    )


def test_what_the_database_shows_the_app_is_decided_by_the_database(
    matrix: Matrix, settings: Settings
) -> None:
    """Every row of a repository is under row security, whatever the API asks."""
    database = make_engine(settings, Role.APP, name="matrix-app")
    reader = Reader(database)
    try:
        for viewer, number in ((user_id("ann"), 0), (user_id("bob"), 1), (None, 1), (user_id("nobody"), 0)):
            with reader.snapshot(ALL, viewer=viewer) as snapshot:
                for table in (
                    "repositories.repo_names r where r.id",
                    "event_index.events r where r.repository_id",
                ):
                    name, column = table.split(" ", 1)
                    schema = snapshot.generations[name.split(".")[0]].schema_name
                    rows = snapshot.connection.exec_driver_sql(
                        f'select count(*) from "{schema}".{name.split(".")[1]} {column} = {IDS[DENIED]}'
                    ).scalar_one()
                    assert (rows > 0) is (number > 0), (viewer, table)
    finally:
        reader.close()
        database.dispose()
