"""``millstream upload``: an index of code, compressed and sent, in one piece or in several."""

import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import click
import httpx
import msgspec

from api.cli.client import TOKEN_VARIABLE, ApiRefused, Client, connect
from api.cli.output import Report, print_json, progress
from api.graphql.ids import upload_node_id
from api.http.upload_request import UploadRefused, upload_request
from infra.settings import load_settings
from schemas.errors import MillstreamError
from streams.uploads.errors import MalformedIndex
from streams.uploads.raw import RawIndex
from streams.uploads.scip import Limits, Metadata, read_index
from streams.uploads.symbols import Symbols

PATH: Final = "/.api/scip/upload"
_CHUNK_BYTES: Final = 1 << 18
_KIB: Final = 1 << 10
_MIB: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_TRIES: Final = 5
_FIRST_PAUSE_S: Final = 0.5
_POLL_S: Final = 0.5
_FINAL: Final = frozenset(("COMPLETED", "DELETING", "DELETED"))
_STATE: Final = """
query Upload($id: ID!) {
  node(id: $id) {
    ... on PreciseIndex { state stateReason failure retryAt visible url statistics { documents symbols occurrences } }
  }
}
"""


class NotUploaded(MillstreamError):
    """The index was not taken, or could not be read."""


class _Statistics(msgspec.Struct):
    documents: int
    symbols: int
    occurrences: int


class _State(msgspec.Struct, rename="camel"):
    state: str
    state_reason: str
    failure: str | None
    retry_at: str | None
    visible: bool
    url: str
    statistics: _Statistics | None

    @property
    def is_final(self) -> bool:
        failed = self.state == "PROCESSING_ERRORED" and self.retry_at is None
        return failed or (self.state in _FINAL and (self.visible or self.state != "COMPLETED"))


class _Found(msgspec.Struct):
    node: _State | None


class _Accepted(msgspec.Struct):
    id: str


class _Refusal(msgspec.Struct):
    code: str = ""
    message: str = ""
    remedy: str = ""


@click.command(epilog="Example: millstream upload index.scip --repo github.com/org/service --wait")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--repo", help="Name or clone URL of the repository; left out: the remote of the present folder."
)
@click.option("--commit", help="Full commit id; left out: HEAD of the present folder.")
@click.option("--root", default="", help="Folder of the repository that was indexed; left out: all of it.")
@click.option("--indexer", help="Name of the indexer; left out: what the index says.")
@click.option("--indexer-version", default="", help="Its version; left out: what the index says.")
@click.option(
    "--part-mib",
    type=click.IntRange(1, 4_096),
    default=100,
    show_default=True,
    help="A larger index, compressed, is sent in parts of this size.",
)
@click.option("--wait", is_flag=True, help="Return when it answers, or has failed (exit code 1).")
@click.option("--timeout", "timeout_s", default=600.0, show_default=True, help="Longest wait, in seconds.")
@click.option(
    "--json", "as_json", is_flag=True, help="{id, node, url} and with --wait {state, reason, statistics}."
)
def upload(
    file: Path,
    repo: str | None,
    commit: str | None,
    root: str,
    indexer: str | None,
    indexer_version: str,
    part_mib: int,
    wait: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Upload a SCIP index, compressed with gzip or not.

    It is compressed, sent, and processed by the workers: see its page, or --wait. What a broken connection or the server's
    own trouble has cut off is sent again, up to five times; of a large index only the part that it hit.
    """
    name, version = _tool_of(file)
    parameters = {
        "repository": repo or _git("remote", "get-url", "origin", what="--repo"),
        "commit": commit or _git("rev-parse", "HEAD", what="--commit"),
        "root": root,
        "indexerName": indexer or name,
        "indexerVersion": indexer_version or version,
    }
    with tempfile.TemporaryFile() as compressed, connect(load_settings()) as client:
        _check(client, parameters)
        raw_bytes = _compress(file, compressed)
        sender = _Sender(client, compressed, raw_bytes, part_mib * _MIB)
        number = sender.send(parameters)
        node = upload_node_id(int(number))
        state = _followed(client, node, timeout_s) if wait else _state(client, node)
        url = f"{client.base_url}{state.url}" if state else ""
    if as_json:
        more = {} if state is None else _as_json(state)
        print_json({"id": number, "node": node, "url": url, **more})
    else:
        click.echo(f"upload {number}: {_words(state)}")
        if url:
            click.echo(url)
    if wait and (state is None or state.state != "COMPLETED"):
        sys.exit(1)


def _check(client: Client, parameters: dict[str, str]) -> None:
    """Whether the upload would be taken, before anything is compressed or sent. Raises NotUploaded, ApiNotRunning."""
    try:
        upload_request(PATH, parameters, {})
    except UploadRefused as error:
        raise NotUploaded(str(error), remedy=error.remedy) from error
    status = client.head(PATH, parameters)
    if status == httpx.codes.NOT_FOUND:
        raise NotUploaded(
            f"no repository {parameters['repository']!r} is followed",
            remedy="See them by millstream repo list, or add it: millstream repo add.",
        )
    if status == httpx.codes.UNAUTHORIZED:
        raise NotUploaded(
            f"the API at {client.base_url} does not know this token",
            remedy=f"Set {TOKEN_VARIABLE} to one that millstream token create printed.",
        )


def _tool_of(file: Path) -> tuple[str, str]:
    """Name and version of what has made the index. Raises NotUploaded for what is no SCIP index."""
    try:
        with file.open("rb") as source:
            first = next(read_index(RawIndex(source), Symbols(), Limits()), None)
    except MalformedIndex as error:
        raise NotUploaded(f"{file} is no SCIP index: {error.shown}", remedy=error.remedy) from error
    facts = first.facts if isinstance(first, Metadata) else None
    return (facts.tool_name or "unknown", facts.tool_version) if facts is not None else ("unknown", "")


def _git(*arguments: str, what: str) -> str:
    """What git says of the present folder. Raises NotUploaded."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        done = None
    said = "" if done is None else done.stdout.decode(errors="replace").strip()
    if done is None or done.returncode != 0 or not said:
        raise NotUploaded(f"git does not say what {what} is here", remedy=f"Give {what}.")
    return said


def _compress(file: Path, target: IO[bytes]) -> int:
    """The index into ``target`` with gzip, as it is when it is that already; its size before, 0 when that is not known."""
    with file.open("rb") as source, progress("compressing, KiB") as report:
        of_all = file.stat().st_size // _KIB
        is_packed = source.read(len(_GZIP)) == _GZIP
        source.seek(0)
        packed: IO[bytes] | gzip.GzipFile = (
            target if is_packed else gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6, mtime=0)
        )
        done_bytes = 0
        while chunk := source.read(_CHUNK_BYTES):
            packed.write(chunk)
            done_bytes += len(chunk)
            report(done_bytes // _KIB, of_all)
        if packed is not target:
            packed.close()
    return 0 if is_packed else done_bytes


class _Sender:
    """Sends one compressed index."""

    def __init__(self, client: Client, content: IO[bytes], raw_bytes: int, part_bytes: int) -> None:
        self._client = client
        self._content = content
        self._size_bytes = content.seek(0, 2)
        self._part_bytes = part_bytes
        self._headers = {"Content-Type": "application/x-protobuf+scip"}
        if raw_bytes:
            self._headers["X-Uncompressed-Size"] = str(raw_bytes)

    def send(self, parameters: dict[str, str]) -> str:
        """The id that it was given. Raises NotUploaded, ApiNotRunning."""
        with progress("uploading, KiB") as report:
            if self._size_bytes <= self._part_bytes:
                return _id_of(self._post(parameters, 0, self._size_bytes, report))
            parts = -(-self._size_bytes // self._part_bytes)
            announced = {**parameters, "multiPart": "true", "numParts": str(parts)}
            number = _id_of(self._post(announced, 0, 0, report))
            for index in range(parts):
                start = index * self._part_bytes
                self._post(
                    {"uploadId": number, "index": str(index)},
                    start,
                    min(start + self._part_bytes, self._size_bytes),
                    report,
                )
            self._post({"uploadId": number, "done": "true"}, 0, 0, report)
        return number

    def _post(self, parameters: dict[str, str], start: int, end: int, report: Report) -> httpx.Response:
        """One request, again where a broken connection or the server's own trouble is the reason. Raises NotUploaded."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._client.send(PATH, parameters, self._chunks(start, end, report), self._headers)
            except httpx.TransportError as error:
                if attempt == _TRIES:
                    raise NotUploaded(
                        f"the connection broke {_TRIES} times: {error}",
                        remedy="See that the API runs, and try again.",
                    ) from error
            else:
                if answer.is_success:
                    return answer
                if answer.status_code < 500 or attempt == _TRIES:
                    raise _refused(answer)
            time.sleep(pause_s)
            pause_s *= 2
        raise NotUploaded("the index was not sent")

    def _chunks(self, start: int, end: int, report: Report) -> Iterator[bytes]:
        at = start
        while at < end:
            self._content.seek(at)
            chunk = self._content.read(min(_CHUNK_BYTES, end - at))
            at += len(chunk)
            yield chunk
            report(at // _KIB, self._size_bytes // _KIB)


def _id_of(answer: httpx.Response) -> str:
    return msgspec.json.decode(answer.content, type=_Accepted).id


def _refused(answer: httpx.Response) -> NotUploaded:
    try:
        said = msgspec.json.decode(answer.content, type=_Refusal)
    except msgspec.MsgspecError:
        said = _Refusal()
    return NotUploaded(
        said.message or f"the API answered {answer.status_code}",
        remedy=said.remedy or "millstream upload --help",
    )


def _state(client: Client, node: str) -> _State | None:
    try:
        return client.ask(_STATE, {"id": node}, _Found).node
    except ApiRefused:
        return None  # it is on the log; its page will show it


def _followed(client: Client, node: str, timeout_s: float) -> _State | None:
    deadline_s = time.monotonic() + timeout_s
    shown = ""
    while True:
        found = _state(client, node)
        if found is not None and found.is_final:
            return found
        if found is not None and found.state_reason != shown:
            shown = found.state_reason
            click.echo(f"{found.state.lower()}: {shown}", err=True)
        if time.monotonic() > deadline_s:
            return found
        time.sleep(_POLL_S)


def _words(state: _State | None) -> str:
    if state is None:
        return "accepted"
    return f"{state.state.lower().replace('_', ' ')}: {state.failure or state.state_reason}"


def _as_json(state: _State) -> dict[str, object]:
    return {
        "state": state.state,
        "reason": state.failure or state.state_reason,
        "visible": state.visible,
        "statistics": None if state.statistics is None else msgspec.structs.asdict(state.statistics),
    }


commands = [upload]
