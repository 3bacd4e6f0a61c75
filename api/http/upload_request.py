"""What a request of the upload protocol asks for. Pure.

Three requests share one address: an index in one piece; the announcement of one in several (``multiPart=true&numParts=n``);
and what follows that, a piece (``uploadId&index=i``) or the end of them (``uploadId&done=true``).
"""

import posixpath
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from schemas.ids import MAX_ID
from schemas.uploads.events import MAX_INDEXER_BYTES, MAX_ROOT_BYTES, UploadFormat

MAX_PARTS: Final = 10_000
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_LSIF: Final = "application/x-ndjson+lsif"
_SCIP: Final = "application/x-protobuf+scip"
_TRUE: Final = frozenset(("true", "1", "t"))


class UploadRefused(Exception):
    """A request that is answered with ``status`` and words."""

    def __init__(self, status: int, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.remedy = remedy


class NewUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that comes to be. ``parts`` None: its index is the body of this request."""

    repository: str
    commit: str
    root: str
    indexer: str
    indexer_version: str
    format: UploadFormat
    parts: int | None


class PartOf(msgspec.Struct, frozen=True, kw_only=True):
    """The body of this request is part ``index`` of an upload."""

    upload_id: int
    index: int


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """All parts of an upload were sent."""

    upload_id: int


UploadRequest = NewUpload | PartOf | Done


def upload_request(path: str, given: Mapping[str, str], headers: Mapping[str, str]) -> UploadRequest:
    """What is asked for. ``headers`` have names in lower case. Raises UploadRefused."""
    size = headers.get("x-uncompressed-size")
    if size and not (size.isascii() and size.isdigit()):
        raise UploadRefused(
            422,
            "INVALID_INPUT",
            f"X-Uncompressed-Size is {size!r}: it has to be a number of bytes.",
            "Leave it out, or give the size before compression.",
        )
    if "uploadId" in given:
        upload_id = _number(given["uploadId"])
        if upload_id is None or upload_id > MAX_ID:
            raise unknown_upload(given["uploadId"])
        if given.get("done", "").lower() in _TRUE:
            return Done(upload_id=upload_id)
        index = _number(given.get("index", ""))
        if index is None:
            raise UploadRefused(
                400,
                "INVALID_INPUT",
                "index is missing.",
                "Say which part this is, from 0: index=0; or, after the last one, done=true.",
            )
        return PartOf(upload_id=upload_id, index=index)
    return _new(path, given, headers)


def unknown_upload(named: object) -> UploadRefused:
    """There is no such upload, or not for the one who asks."""
    return UploadRefused(
        404, "NOT_FOUND", f"There is no upload {named}.", "Begin again: its parts were not announced here."
    )


def _new(path: str, given: Mapping[str, str], headers: Mapping[str, str]) -> NewUpload:
    missing = [name for name in ("repository", "commit", "indexerName") if not given.get(name)]
    if missing:
        raise UploadRefused(
            400,
            "INVALID_INPUT",
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing in the address.",
            f"Add what is missing: ?{'&'.join(f'{name}=…' for name in missing)}",
        )
    commit = given["commit"].lower()
    if _COMMIT.fullmatch(commit) is None:
        raise UploadRefused(
            400,
            "INVALID_INPUT",
            f"commit is {given['commit'][:100]!r}: it has to be a full commit id of 40 hexadecimal digits.",
            "git rev-parse HEAD says it.",
        )
    parts: int | None = None
    if given.get("multiPart", "").lower() in _TRUE:
        parts = _number(given.get("numParts", ""))
        if parts is None or not 1 <= parts <= MAX_PARTS:
            raise UploadRefused(
                400,
                "INVALID_INPUT",
                f"numParts has to be a number from 1 to {MAX_PARTS:,}.",
                "Say in how many parts the index comes, or leave multiPart out.",
            )
    return NewUpload(
        repository=given["repository"],
        commit=commit,
        root=root_of(given.get("root", "")),
        indexer=_text("indexerName", given["indexerName"]),
        indexer_version=_text("indexerVersion", given.get("indexerVersion", "")),
        format=_format(path, headers.get("content-type", "")),
        parts=parts,
    )


def root_of(given: str) -> str:
    """The root as it is kept: empty for all of the repository, else a path that ends in ``/``. Raises UploadRefused."""
    path = posixpath.normpath("/" + given.strip().lstrip("/")).strip("/")
    if ".." in given.split("/") or _CONTROL.search(path) or len(path.encode()) >= MAX_ROOT_BYTES:
        raise UploadRefused(
            400,
            "INVALID_INPUT",
            f"root is {given[:100]!r}: it has to be a folder inside the repository.",
            "Give it relative to the top of the repository: web/app.",
        )
    return f"{path}/" if path else ""


def _format(path: str, content_type: str) -> UploadFormat:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _SCIP:
        return "scip"
    if kind == _LSIF:
        return "lsif"
    return "scip" if "/scip/" in path else "lsif"


def _text(name: str, text: str) -> str:
    if len(text.encode("utf-8", "replace")) > MAX_INDEXER_BYTES or _CONTROL.search(text):
        raise UploadRefused(
            400, "INVALID_INPUT", f"{name} has more than {MAX_INDEXER_BYTES} bytes, or no text."
        )
    return text


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None
