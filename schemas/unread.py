"""Events of which only the envelope is read: who said what about whom, without looking at the payload.

Several times cheaper than ``schemas.codec.decode``, and blind: what comes out may have a payload that is no valid one, or
a type or version that this build has never heard of.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import orjson

from schemas.codec import STRUCTURED, attribute_of, attribute_problem, attributes_of
from schemas.envelope import Event, Record
from schemas.plain import CONTENT_TYPE, MAX_ATTRIBUTE_BYTES, NAMES
from schemas.registry import REGISTRY, Audience, EventType, Payload

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Unread(Payload, frozen=True, kw_only=True):
    """Stands where the payload would be."""


_UNREAD: Final = Unread()


def decode_envelope(record: Record) -> Event | None:
    """The envelope of the event in ``record``; None when it names no source, id and type that can be kept.

    ``time`` is the broker's append time, ``key`` the record's, ``subject`` the key where the envelope has none.
    """
    return _plain(record) or _closely(record)


def _plain(record: Record) -> Event | None:
    """The short way, for headers as ``schemas.codec.encode`` writes them (``schemas.plain``); None: look closer."""
    headers = record.headers
    if len(headers) < len(NAMES) or record.key is None:
        return None
    (n0, _), (n1, id_), (n2, source), (n3, kind), (n4, _), (n5, _), (n6, subject), (n7, content) = headers[:8]
    if (n0, n1, n2, n3, n4, n5, n6, n7) != NAMES or content != CONTENT_TYPE:
        return None
    causation = b""
    for name, data in headers[8:]:
        if name == "ce_causationid":
            causation = data
        elif name in NAMES:
            return None  # it stands twice: the last one counts
    if not (id_ and source and kind and subject):
        return None
    kept = b"".join((id_, source, kind, subject, causation, record.key))
    if len(kept) > MAX_ATTRIBUTE_BYTES or not kept.isascii() or b"\0" in kept:
        return None
    return Event(
        id=id_.decode(),
        source=_shared(source),
        type=_type_of(_shared(kind)),
        time=_time(record.timestamp_ms),
        key=record.key.decode(),
        subject=subject.decode(),
        data=_UNREAD,
        causation_id=causation.decode() if causation else None,
        extensions=_NONE,
    )


def _closely(record: Record) -> Event | None:
    attributes: dict[str, str] = {}
    structured = False
    try:
        for name, data in record.headers:
            attribute = attribute_of(name)
            if attribute is not None:
                attributes[attribute] = data.decode()
            elif name == "content-type":
                structured = data[: len(STRUCTURED)].lower() == STRUCTURED
        key = (record.key or b"").decode()
        if structured:
            attributes = _structured(record.value)
    except (ValueError, TypeError):
        return None  # not UTF-8, not JSON, or nested deeper than what can be written again
    get = attributes.get
    event_id, source, kind = get("id"), get("source"), get("type")
    if not event_id or not source or not kind:
        return None
    subject = get("subject") or key
    kept = event_id + source + kind + subject
    if (len(kept) > MAX_ATTRIBUTE_BYTES or not kept.isascii() or "\0" in kept) and any(
        attribute_problem("", text) for text in (event_id, source, kind, subject)
    ):
        return None
    return Event(
        id=event_id,
        source=source,
        type=_type_of(kind),
        time=_time(record.timestamp_ms),
        key=key,
        subject=subject,
        data=_UNREAD,
        causation_id=get("causationid"),
        extensions=_NONE,
    )


@lru_cache(maxsize=1_024)
def _shared(text: bytes) -> str:
    """Of a text that many events share."""
    return text.decode()


@lru_cache(maxsize=64)
def _time(timestamp_ms: int) -> datetime:
    """Records of one append come one after the other."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def _structured(value: bytes | None) -> dict[str, str]:
    body = orjson.loads(value or b"")
    return attributes_of(body) if isinstance(body, dict) else {}


@lru_cache(maxsize=1_024)
def _type_of(name: str) -> EventType:
    known = REGISTRY.latest(name)
    if known is not None:
        return known
    return EventType(
        name=name,
        version=0,
        payload=Unread,
        topics=(),
        key=str,
        subject=str,
        audience=Audience.EXTERNAL,
        guarded=False,
        summary="",
    )
