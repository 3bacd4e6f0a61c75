"""Paths of documents: canonical, so that two that mean one file are one text. Pure."""

from typing import Final

from streams.uploads.errors import MalformedIndex

MAX_PATH_BYTES: Final = 4_000


def check_path(raw: bytes) -> str:
    """The path of a document. Raises MalformedIndex."""
    if len(raw) > MAX_PATH_BYTES:
        raise MalformedIndex("malformed-path", f"a path has {len(raw):,} bytes: more than {MAX_PATH_BYTES:,}")
    try:
        path = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedIndex("malformed-path", "a path is not UTF-8") from error
    if not path or path.startswith("/"):
        raise MalformedIndex("malformed-path", f"{path!r} is no path below the root of the index")
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
        raise MalformedIndex("malformed-path", f"{path!r} is not canonical")
    return path
