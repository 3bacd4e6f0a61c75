"""A record as it lies on the log, in words: its envelope as far as there is one, and what readers make of it. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import orjson

from api.tracing.trace import Look, Reading
from schemas.codec import (
    STRUCTURED,
    Undecodable,
    UnknownType,
    UnknownVersion,
    attributes_of,
    decode,
)
from schemas.envelope import Event, Record
from schemas.payloads import parse_time

SHOWN_CHARACTERS: Final = 20_000
"""Of a payload; of a header a tenth."""
_CUT: Final = " … (cut)"


def look_at(record: Record) -> Look:
    """What stands at the record's position."""
    attributes, structured = attributes_in(record)
    reading, reason, path, version = _read(record)
    get = attributes.get
    return Look(
        reading=reading,
        reason=reason,
        path=path,
        structured=structured,
        size_bytes=len(record.key or b"")
        + len(record.value or b"")
        + sum(len(name) + len(data) for name, data in record.headers),
        appended_at=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
        key=None if record.key is None else _text(record.key),
        id=get("id"),
        source=get("source"),
        type=get("type"),
        subject=get("subject"),
        time=parse_time(get("time", "")),
        version=version,
        correlation_id=get("correlationid"),
        causation_id=get("causationid"),
        traceparent=get("traceparent"),
        headers=[(name, _text(data, SHOWN_CHARACTERS // 10)) for name, data in record.headers],
        payload=_payload(record.value),
    )


def attributes_in(record: Record) -> tuple[Mapping[str, str], bool]:
    """The envelope's attributes as far as they can be read, and whether they stand in the value (structured mode)."""
    content_type = next((data for name, data in record.headers if name == "content-type"), b"")
    if content_type[: len(STRUCTURED)].lower() == STRUCTURED:
        try:
            body = orjson.loads(record.value or b"")
            return (attributes_of(body) if isinstance(body, dict) else {}), True
        except (orjson.JSONDecodeError, TypeError):
            return {}, True
    found: dict[str, str] = {}
    for name, data in record.headers:
        if name.startswith("ce_"):
            found[name[3:]] = _text(data)
        elif name == "traceparent":
            found[name] = _text(data)
    return found, False


def _read(record: Record) -> tuple[Reading, str, str, int | None]:
    match decode(record):
        case Event() as event:
            return Reading.EVENT, "", "", event.type.version
        case Undecodable(reason, path):
            return Reading.DEAD_LETTER, reason, path, None
        case UnknownType(name):
            return (
                Reading.UNKNOWN_TYPE,
                f"no projection of this build knows the type {name}: it is skipped",
                "ce_type",
                None,
            )
        case UnknownVersion(name, version):
            return (
                Reading.UNKNOWN_VERSION,
                f"this build cannot read version {version} of {name}: the partition waits for a newer one",
                "ce_dataschema",
                version,
            )  # fmt: skip


def _payload(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return _cut(orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode(), SHOWN_CHARACTERS)
    except (orjson.JSONDecodeError, TypeError):
        return _text(value)


def _text(data: bytes, characters: int = SHOWN_CHARACTERS) -> str:
    """Foreign bytes as text that can be shown, whatever they are."""
    return _cut(data[: characters * 4].decode("utf-8", "backslashreplace"), characters)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters] + _CUT
