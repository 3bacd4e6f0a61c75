"""A SCIP index is uploaded as any client uploads it, and answers at the tip of its branch."""

import time
from collections.abc import Iterator
from typing import Final

import httpx
import msgspec

from api.cli.client import Client
from api.cli.upload_command import PATH
from api.demo import causes
from api.demo.causes import Link
from api.demo.following import DemoFailed, wait_until
from api.demo.indexes import Index
from api.demo.system import System
from api.graphql.ids import upload_node_id
from infra.kafka.admin import KafkaAdmin
from schemas.errors import MillstreamError

_CHUNK_BYTES: Final = 1 << 16
_COMPLETED: Final = "COMPLETED"
_ERRORED: Final = "PROCESSING_ERRORED"
_ASKED: Final = """
query DemoUpload($id: ID!, $repository: String!, $head: String!) {
  node(id: $id) { ... on PreciseIndex { state failure retryAt url statistics { documents symbols occurrences } } }
  repository(name: $repository) { visibleUploads(commit: $head) { id inputCommit inputRoot inputIndexer distance } }
}
"""


class Statistics(msgspec.Struct, frozen=True):
    """What was found in the index."""

    documents: int
    symbols: int
    occurrences: int


class Answering(msgspec.Struct, frozen=True, rename="camel"):
    """An upload that answers at a commit; ``distance`` is by how many commits the indexed one is above it."""

    id: str
    input_commit: str
    input_root: str
    input_indexer: str
    distance: int


class _Upload(msgspec.Struct, rename="camel"):
    state: str
    failure: str | None
    retry_at: str | None
    url: str
    statistics: Statistics | None


class _Repository(msgspec.Struct, rename="camel"):
    visible_uploads: list[Answering]


class _Answer(msgspec.Struct):
    node: _Upload | None
    repository: _Repository | None


class _Accepted(msgspec.Struct):
    id: str


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """An index that was uploaded, and how soon it answered. Seconds count from the first byte that was sent."""

    repository: str
    head: str
    upload_id: str
    """The number that the upload was answered with."""
    made: str
    size_bytes: int
    statistics: Statistics
    completed_s: float
    visible_s: float
    answers: Answering
    """What answers at HEAD."""
    chain: list[Link]
    page: str


def upload_and_watch(client: Client, system: System, index: Index) -> Uploaded:
    """Send it, and wait until it answers at HEAD. Raises DemoFailed."""
    with KafkaAdmin(system.settings, client_id="millstream-demo") as admin:
        began = causes.mark(admin)
    number, first_byte_s = _send(client, index)
    node = upload_node_id(int(number))

    def ask() -> _Answer:
        answer = client.ask(_ASKED, {"id": node, "repository": index.repository, "head": index.head}, _Answer)
        if answer.node is not None and answer.node.state == _ERRORED and answer.node.retry_at is None:
            raise DemoFailed(
                f"the index was not read: {answer.node.failure}", remedy="see millstream logs worker"
            )
        return answer

    def completed() -> tuple[_Upload, Statistics] | None:
        found = ask().node
        if found is None or found.state != _COMPLETED or found.statistics is None:
            return None
        return found, found.statistics

    def visible() -> Answering | None:
        found = ask().repository
        return next((one for one in found.visible_uploads if one.id == node), None) if found else None

    upload, statistics = wait_until(system, completed, "the upload was not completed")
    completed_s = time.monotonic() - first_byte_s
    answers = wait_until(system, visible, "the upload does not answer at HEAD")
    visible_s = time.monotonic() - first_byte_s
    return Uploaded(
        repository=index.repository,
        head=index.head,
        upload_id=number,
        made=index.made,
        size_bytes=len(index.content),
        statistics=statistics,
        completed_s=completed_s,
        visible_s=visible_s,
        answers=answers,
        chain=causes.of_upload(causes.since(system.settings, began), int(number)),
        page=f"{client.base_url}{upload.url}",
    )


def problem_of(uploaded: Uploaded) -> MillstreamError | None:
    """Its life is on the log up to its publication."""
    if any(link.event == "upload.published" for link in uploaded.chain):
        return None
    return DemoFailed(
        f"upload {uploaded.upload_id} answers, but the log does not say that it was published",
        remedy="run millstream verify",
    )


def _send(client: Client, index: Index) -> tuple[str, float]:
    """The id that it was given, and when its first byte was sent. Raises DemoFailed."""
    begun: list[float] = []

    def chunks() -> Iterator[bytes]:
        begun.append(time.monotonic())
        for at in range(0, len(index.content), _CHUNK_BYTES):
            yield index.content[at : at + _CHUNK_BYTES]

    name, version = index.indexer
    parameters = {
        "repository": index.repository,
        "commit": index.commit,
        "root": index.root,
        "indexerName": name,
        "indexerVersion": version,
    }
    try:
        answer = client.send(PATH, parameters, chunks(), {"Content-Type": "application/x-protobuf+scip"})
    except httpx.TransportError as error:
        raise DemoFailed(f"the index was not sent: {error}", remedy="see millstream logs api") from error
    if not answer.is_success:
        raise DemoFailed(
            f"the index was not taken ({answer.status_code}): {answer.text[:200]}",
            remedy="see millstream logs api",
        )
    return msgspec.json.decode(answer.content, type=_Accepted).id, begun[0]
