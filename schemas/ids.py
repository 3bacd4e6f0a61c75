"""Identifiers that any service in any language can compute without asking (DESIGN section 3).

Safe integers of 53 bits: the first 8 bytes of a SHA-256, big-endian, shifted right by 11. Vectors are
published in ``schemas/vectors/ids.json`` and checked by a test.
"""

import hashlib
import posixpath
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import orjson
import uuid_utils

from schemas.errors import MillstreamError

ID_BITS = 53
MAX_ID = (1 << ID_BITS) - 1

EVENT_NAMESPACE = uuid.UUID("5d0c8a4e-6f0b-5a61-9a0e-3b1c2d4e5f60")
"""Namespace of every deterministic event id: part of the contract, never changed."""

_SEPARATOR = "\x1f"
_UPLOADS_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
_CHANCE_BITS = 11
_HOST = re.compile(r"\w(?:[\w.-]*\w)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class InvalidRepositoryName(MillstreamError):
    """A repository name has to look like host/path."""


def stable_id(text: str) -> int:
    """The 53-bit id of ``text`` (UTF-8, taken as it is)."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - ID_BITS)


def canonical_repository_name(location: str) -> str:
    """``host/path`` of a clone URL, an scp-like address, or a name that is canonical already.

    The host is in lower case; scheme, user, port, query, trailing slashes and ``.git`` are dropped, ``.``, ``..``
    and repeated slashes in the path are resolved. An absolute path becomes ``local/<path>``. Raises InvalidRepositoryName.
    """
    text = location.strip()
    if "://" in text:
        text = re.split(r"[?#]", text, maxsplit=1)[0]
    if text.lower().startswith("file://"):
        text = text[len("file://") :].removeprefix("localhost")
    if text.startswith("/"):
        host, path = "local", text
    elif "://" in text:
        host, _, path = text.split("://", 1)[1].partition("/")
    elif ":" in text.split("/", 1)[0]:
        host, _, path = text.partition(":")
    else:
        host, _, path = text.partition("/")
    host = host.rsplit("@", 1)[-1].split(":", 1)[0].lower()
    path = posixpath.normpath("/" + path.lstrip("/")).strip("/")
    while path.endswith(".git"):
        path = path.removesuffix(".git").rstrip("/")
    if not _HOST.fullmatch(host) or not path or _CONTROL.search(path):
        raise InvalidRepositoryName(
            f"{location!r} is no repository name",
            remedy="Give a clone URL, an absolute path, or host/path.",
        )
    return f"{host}/{path}"


def repository_id(canonical_name: str) -> int:
    """Id of the repository whose *first* canonical name this is; a later rename keeps the id."""
    return stable_id(canonical_name)


def aggregate_id(kind: str, caller: str, idempotency_key: str) -> int:
    """Id of an insight or monitor: a retry with the same key names the same aggregate."""
    return stable_id(_SEPARATOR.join((kind, caller, idempotency_key)))


def upload_id(at: datetime, chance: int) -> int:
    """Id of an upload that comes to be at ``at``: 42 bits of milliseconds since 2020 (UTC), then the low 11 bits of ``chance``.

    A larger one is newer. Raises ValueError for a time before 2020 or after 2159.
    """
    milliseconds = (at - _UPLOADS_SINCE) // timedelta(milliseconds=1)
    if not 0 <= milliseconds < 1 << (ID_BITS - _CHANCE_BITS):
        raise ValueError(f"{at} lies outside the years that an upload's id can say")
    return milliseconds << _CHANCE_BITS | chance & ((1 << _CHANCE_BITS) - 1)


def upload_time(number: int) -> datetime:
    """When the upload of this id came to be, to the millisecond."""
    return _UPLOADS_SINCE + timedelta(milliseconds=number >> _CHANCE_BITS)


def derived_event_id(*parts: object) -> str:
    """UUIDv5 of what makes a fact unique (the attempt included), for events a retry could publish twice."""
    return str(uuid.uuid5(EVENT_NAMESPACE, _SEPARATOR.join(str(part) for part in parts)))


def new_event_id() -> str:
    """A fresh, time-ordered UUIDv7."""
    return str(uuid_utils.uuid7())


class SeriesIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides which rows a series owns. Two series with equal identity share their rows."""

    query: str
    unit: str = "MONTH"
    value: int = 1
    repositories: Sequence[int] | None = None
    criteria: str | None = None
    kind: str = "search"
    group_by: str | None = None
    pattern_type: str = "literal"


def series_identity_json(identity: SeriesIdentity) -> bytes:
    """The exact bytes that are hashed for every series but the plain ones."""
    repositories = None if identity.repositories is None else sorted(set(identity.repositories))
    return orjson.dumps(
        [
            identity.query,
            identity.unit,
            identity.value,
            repositories,
            identity.criteria,
            identity.kind,
            identity.group_by,
            identity.pattern_type,
        ]
    )


def is_identity_json(query: str) -> bool:
    """Whether a query is, byte for byte, what would be hashed for another series: their ids would be one."""
    if not query.startswith('["'):
        return False
    try:
        body = orjson.loads(query)
    except orjson.JSONDecodeError:
        return False
    return isinstance(body, list) and len(body) == len(SeriesIdentity.__struct_fields__)


def series_id(identity: SeriesIdentity) -> str:
    """``s:`` + uppercase hex SHA-256, of the raw query for the plain case, else of the JSON form.

    Plain = {search, monthly, all repositories, literal}: the rule of the first generation, and its vector.
    """
    plain = (
        identity.kind == "search"
        and identity.unit == "MONTH"
        and identity.value == 1
        and identity.repositories is None
        and identity.criteria is None
        and identity.group_by is None
        and identity.pattern_type == "literal"
    )
    material = identity.query.encode() if plain else series_identity_json(identity)
    return "s:" + hashlib.sha256(material).hexdigest().upper()
