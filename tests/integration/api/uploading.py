"""A watched repository whose commits come when a test wants, and what is asked about its uploads."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from starlette.testclient import TestClient

from api.graphql.ids import upload_node_id
from infra.kafka.producer import Publisher
from projections.reading import Reader
from projections.uploads import queries
from projections.uploads.queries import Upload
from schemas.events import RepositoryPushed
from schemas.ids import repository_id
from streams.search.engine import refs_of
from tests.integration.api.conftest import Api
from tests.integration.api.questions import say
from tests.support.projectors import eventually
from tests.support.repositories import git

PATH: Final = "/.api/scip/upload"
NAME: Final = "git.example.com/up/service"
SCIP: Final = {"content-type": "application/x-protobuf+scip"}
STATE: Final = """
query State($id: ID!) {
  node(id: $id) {
    __typename
    ... on PreciseIndex {
      state stateReason failure failureDetails { code document byteOffset } failedAttempts visible replacedBy
      statistics { documents symbols occurrences packages } url inputCommit inputRoot inputIndexer
      auditLogs { reason operation changedColumns { column old new } }
    }
    ... on LSIFUpload { lsifState: state }
  }
}
"""
DELETE: Final = "mutation Delete($id: ID!) { deletePreciseIndex(id: $id) { alwaysNil } }"


class Service:
    """A watched repository: a commit is made, and said to be there or not."""

    def __init__(self, folder: Path, publisher: Publisher, name: str = NAME) -> None:
        self._folder = folder
        self._name = name
        self._publisher = publisher
        git(folder, "init", "-q", "-b", "main")
        self.number = 0
        self.commit()

    def commit(self) -> str:
        """A new commit; the registrar would see it with the next ``push``."""
        self.number += 1
        git(self._folder, "commit", "-q", "--allow-empty", "-m", f"change {self.number}")
        return git(self._folder, "rev-parse", "HEAD").decode().strip()

    def unborn(self) -> tuple[str, Callable[[], None]]:
        """A commit that is not there yet, and what brings it."""
        head = git(self._folder, "rev-parse", "HEAD").decode().strip()
        commit = self.commit()
        bundle = self._folder / "later.bundle"
        git(self._folder, "bundle", "create", "-q", str(bundle), "main")
        git(self._folder, "update-ref", "refs/heads/main", head)
        git(self._folder, "reflog", "expire", "--expire=now", "--all")
        git(self._folder, "gc", "-q", "--prune=now")

        def bring() -> None:
            git(self._folder, "fetch", "-q", str(bundle), "main:arrived")
            git(self._folder, "update-ref", "refs/heads/main", commit)
            git(self._folder, "branch", "-D", "-q", "arrived")
            self.push()

        return commit, bring

    def push(self) -> None:
        """What the registrar says when it has looked."""
        state = refs_of(self._folder)
        pushed = RepositoryPushed(
            repository_id=repository_id(self._name),
            default_branch="main",
            tip=git(self._folder, "rev-parse", "main").decode().strip(),
            refs_fingerprint=state.refs_fingerprint,
        )
        say(self._publisher, pushed)


def post(api: Api, content: bytes = b"", **parameters: str) -> Any:
    """One request of the protocol."""
    return post_to(api.http, api, content, parameters)


def post_to(client: TestClient, api: Api, content: bytes, parameters: Mapping[str, str]) -> Any:
    """The same to another process of the API."""
    headers = {"authorization": f"token {api.token}", **SCIP}
    return client.post(PATH, params=parameters, content=content, headers=headers)


def uploaded(api: Api, commit: str, content: bytes, **more: str) -> str:
    """The id of an upload in one piece."""
    parameters = {"repository": NAME, "commit": commit, "indexerName": "scip-test", **more}
    answer = post(api, content, **parameters)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    assert found == str(int(found))
    return found


def state(api: Api, number: str) -> Any:
    return api.ask(STATE, {"id": upload_node_id(int(number))})["node"]


def until(api: Api, number: str, wanted: Callable[[Any], bool], timeout_s: float = 30.0) -> Any:
    """The upload once ``wanted`` holds."""
    found: list[Any] = [None]

    def holds() -> bool:
        found[0] = state(api, number)
        return found[0] is not None and wanted(found[0])

    assert eventually(holds, timeout_s), found[0]
    return found[0]


def in_state(api: Api, number: str, name: str) -> Any:
    return until(api, number, lambda one: one["state"] == name)


def answering(api: Api, number: str) -> Any:
    return until(api, number, lambda one: one["visible"])


def row(reader: Reader, number: str) -> Upload:
    with reader.snapshot(("uploads",)) as snapshot:
        found = queries.by_id(snapshot.connection, int(number))
    assert found is not None
    return found


def states(one: Any) -> list[str]:
    """The states that it went through."""
    return [
        column["new"]
        for log in one["auditLogs"]
        for column in log["changedColumns"]
        if column["column"] == "state"
    ]
