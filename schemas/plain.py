"""The short way from a record to its event: for records exactly as ``schemas.codec.encode`` writes them, which nearly all are.

It looks at all of a record's headers together and at each once. Where anything is unusual it gives no answer, and
``schemas.codec.decode`` takes the long way, which knows every rule and says what is wrong.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.envelope import Event, Record
from schemas.payloads import PAYLOAD_ERRORS, decode_payload, parse_time_bytes
from schemas.registry import Registry

CONTENT_TYPE: Final = b"application/json"
MAX_ATTRIBUTE_BYTES: Final = 1_024
"""Largest attribute, and name of one: ids are keys of databases."""
NAMES: Final = (
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_dataschema",
    "ce_time",
    "ce_subject",
    "content-type",
)
"""The headers that every event of ours has, in their order."""
NO_EXTENSIONS: Final[Mapping[str, str]] = MappingProxyType({})
_MAX_VALUE_BYTES: Final = 400_000
"""With a larger one, which may hold a key as long, the record could be too large: that is counted exactly elsewhere."""


def decode_plain(record: Record, registry: Registry) -> Event | None:
    """The event in ``record``; None: look closer."""
    headers, value = record.headers, record.value
    if len(headers) < len(NAMES) or value is None or len(value) > _MAX_VALUE_BYTES:
        return None
    (
        (n0, version),
        (n1, id_),
        (n2, source),
        (n3, kind),
        (n4, schema),
        (n5, at),
        (n6, subject),
        (n7, content),
    ) = headers[:8]
    if (n0, n1, n2, n3, n4, n5, n6, n7) != NAMES or version != b"1.0" or content != CONTENT_TYPE:
        return None
    found = registry.latest_by_bytes(kind, schema)
    if found is None or record.topic not in found.topics or not (id_ and source and subject):
        return None
    correlation = causation = traceparent = b""
    for name, data in headers[8:]:
        if name == "ce_correlationid" and not correlation:
            correlation = data
        elif name == "ce_causationid" and not causation:
            causation = data
        elif name == "traceparent" and not traceparent:
            traceparent = data
        else:
            return None
        if not data:
            return None
    whole = b"".join((id_, source, at, subject, correlation, causation, traceparent))
    if len(whole) > MAX_ATTRIBUTE_BYTES or not whole.isascii() or b"\0" in whole:
        return None
    time = parse_time_bytes(at)
    if time is None:
        return None
    try:
        payload = decode_payload(found, value)
    except PAYLOAD_ERRORS:
        return None
    key = found.key(payload)
    if record.key != key.encode():
        return None
    return Event(
        id=id_.decode(),
        source=source.decode(),
        type=found,
        time=time,
        key=key,
        subject=subject.decode(),
        data=payload,
        correlation_id=correlation.decode() if correlation else None,
        causation_id=causation.decode() if causation else None,
        traceparent=traceparent.decode() if traceparent else None,
        extensions=NO_EXTENSIONS,
    )
