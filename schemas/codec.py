"""Records to events and back: CloudEvents 1.0 over Kafka, both modes read, binary written (DESIGN section 3).

``decode`` never raises on foreign bytes: what cannot be an event comes back as a value that says why.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
import orjson

from schemas.envelope import Event, Headers, Record
from schemas.errors import MillstreamError
from schemas.ids import new_event_id
from schemas.limits import FIRST_YEAR, LAST_YEAR
from schemas.payloads import PAYLOAD_ERRORS, SHOWN_CHARACTERS, decode_payload, parse_time, reason_and_path
from schemas.plain import CONTENT_TYPE, MAX_ATTRIBUTE_BYTES, NAMES, NO_EXTENSIONS, decode_plain
from schemas.registry import REGISTRY, EventType, Payload, Registry
from schemas.upcasting import newest

MAX_RECORD_BYTES: Final = 900_000
"""Largest key, value and headers together: below every client's own limit (DESIGN section 4)."""
_FEW_HEADERS: Final = 64
_SURELY_SMALL_BYTES: Final = MAX_RECORD_BYTES - _FEW_HEADERS * 2 * MAX_ATTRIBUTE_BYTES
"""Below it the attributes need not be measured one by one: a few of them, none too long (a longer one is refused)."""
STRUCTURED: Final = b"application/cloudevents"
"""How the content type of a structured event begins."""
_KNOWN: Final = frozenset(
    (
        "specversion",
        "id",
        "source",
        "type",
        "dataschema",
        "datacontenttype",
        "time",
        "subject",
        "correlationid",
        "causationid",
        "expectedversion",
        "data",
        "traceparent",
    )
)
_REQUIRED: Final = ("specversion", "id", "source", "type")
attribute_of: Final = {f"ce_{name}": name for name in _KNOWN}.get
"""The attribute that a header of binary mode holds (None: no known one): found faster than cut out of its name."""


class TooLarge(MillstreamError):
    """An event is larger than the log takes."""


class Undecodable(msgspec.Struct, frozen=True):
    """A record that is no valid event. ``path`` is the field (JSONPath, ``ce_*`` header), or empty."""

    reason: str
    path: str = ""


class UnknownType(msgspec.Struct, frozen=True):
    """A record whose event type this build has never heard of: skipped and counted."""

    name: str


class UnknownVersion(msgspec.Struct, frozen=True):
    """A record of a known type in a version that this build cannot read: its partition has to stop."""

    name: str
    version: int


Decoded = Event | Undecodable | UnknownType | UnknownVersion


def record_size_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Bytes of key, value and headers together, as counted against MAX_RECORD_BYTES."""
    return len(key or b"") + len(value or b"") + sum(len(name) + len(data) for name, data in headers)


def new_event(
    payload: Payload,
    *,
    source: str,
    time: datetime,
    event_id: str | None = None,
    cause: Event | None = None,
    correlation_id: str | None = None,
    expected_version: int | None = None,
    traceparent: str | None = None,
    registry: Registry = REGISTRY,
) -> Event:
    """Wrap ``payload`` in an envelope; key and subject come from its type, the chain from ``cause``."""
    event_type = registry.of(payload)
    if cause is not None:
        correlation_id = correlation_id or cause.correlation_id or cause.id
        traceparent = traceparent or cause.traceparent
    return Event(
        id=event_id or new_event_id(),
        source=source,
        type=event_type,
        time=time,
        key=event_type.key(payload),
        subject=event_type.subject(payload),
        data=payload,
        correlation_id=correlation_id,
        causation_id=cause.id if cause else None,
        expected_version=expected_version,
        traceparent=traceparent,
    )


def encode(event: Event) -> tuple[bytes, bytes, Headers]:
    """(key, value, headers) in binary mode. Raises TooLarge."""
    always = (
        b"1.0",
        event.id.encode(),
        event.source.encode(),
        event.type.name.encode(),
        event.type.dataschema.encode(),
        _rfc3339(event.time).encode(),
        event.subject.encode(),
        CONTENT_TYPE,
    )
    headers = list(zip(NAMES, always, strict=True))
    optional = {
        "ce_correlationid": event.correlation_id,
        "ce_causationid": event.causation_id,
        "ce_expectedversion": None if event.expected_version is None else str(event.expected_version),
        "traceparent": event.traceparent,
    }
    headers += [(name, text.encode()) for name, text in optional.items() if text is not None]
    headers += [(f"ce_{name}", text.encode()) for name, text in event.extensions.items()]
    key, value = event.key.encode(), msgspec.json.encode(event.data)
    size_bytes = record_size_bytes(key, value, tuple(headers))
    if size_bytes > MAX_RECORD_BYTES:
        raise TooLarge(
            f"{event.type.name} {event.id} has {size_bytes:,} bytes; at most {MAX_RECORD_BYTES:,} go on the log",
            remedy="Split the request, or put the large part into the blob store and send its address.",
        )
    return key, value, tuple(headers)


def decode(record: Record, registry: Registry = REGISTRY) -> Decoded:
    """The event in ``record``, validated in the same pass, or the reason why there is none.

    An event of an earlier version comes back as the newest one says it (``schemas.upcasting``).
    """
    return decode_plain(record, registry) or decode_closely(record, registry)


def decode_closely(record: Record, registry: Registry = REGISTRY) -> Decoded:
    """``decode`` by all rules, one after the other: for what is not as ``encode`` writes it."""
    value = record.value
    attributes: dict[str, str] = {}
    size_bytes = len(record.key or b"") + len(value or b"")
    structured = False
    name = ""
    try:
        for name, data in record.headers:
            attribute = attribute_of(name)
            if attribute is not None:
                attributes[attribute] = data.decode()
                continue
            size_bytes += len(name) + len(data)
            if name[:3] == "ce_":
                attributes[name[3:]] = data.decode()
            elif name == "content-type":
                structured = data[: len(STRUCTURED)].lower() == STRUCTURED
            elif name == "traceparent":
                attributes[name] = data.decode("ascii", "replace")
    except UnicodeDecodeError:
        return Undecodable("the header is not UTF-8", name[:SHOWN_CHARACTERS])
    if size_bytes > _SURELY_SMALL_BYTES or len(record.headers) > _FEW_HEADERS:
        size_bytes = record_size_bytes(record.key, value, record.headers)
    if size_bytes > MAX_RECORD_BYTES:
        return Undecodable(f"{size_bytes:,} bytes are more than the {MAX_RECORD_BYTES:,} an event may have")
    if value is None:
        return Undecodable("the record has no value")
    if structured:
        return _decode_structured(record, value, registry)
    return _build(record, attributes, value, registry)


def _decode_structured(record: Record, value: bytes, registry: Registry) -> Decoded:
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return Undecodable(f"the value is not JSON: {error}", "$")
    if not isinstance(body, dict):
        return Undecodable("a structured event has to be a JSON object", "$")
    if "data" not in body:
        return Undecodable("the event has no data", "data")
    try:
        return _build(record, attributes_of(body), orjson.dumps(body["data"]), registry)
    except TypeError as error:  # what can be read can be nested deeper than what can be written
        return Undecodable(f"the value cannot be kept as JSON: {error}", "$")


def attributes_of(structured_event: Mapping[str, object]) -> dict[str, str]:
    """The attributes of a structured event as binary mode has them: all text; null is absent."""
    return {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in structured_event.items()
        if name != "data" and value is not None
    }


def attribute_problem(name: str, text: str) -> str | None:
    """What is wrong with an attribute of either mode, whatever it means; None when nothing is."""
    if "\0" in text or "\0" in name:
        return "has a NUL character, which cannot be kept in a database"
    if (
        max(len(text.encode("utf-8", "surrogatepass")), len(name.encode("utf-8", "surrogatepass")))
        > MAX_ATTRIBUTE_BYTES
    ):
        return f"is longer than {MAX_ATTRIBUTE_BYTES} bytes"
    return None


def _check_attributes(attributes: Mapping[str, str]) -> Undecodable | None:
    whole = "".join(attributes.values())
    if (
        len(whole) <= MAX_ATTRIBUTE_BYTES
        and whole.isascii()
        and "\0" not in whole
        and _KNOWN.issuperset(attributes)
    ):
        return None  # nearly always, and cheap: this runs for every record
    for name, text in attributes.items():
        problem = attribute_problem(name, text)
        if problem is not None:
            return Undecodable(f"the attribute {problem}", f"ce_{name}"[:SHOWN_CHARACTERS])
    return None


def _build(record: Record, attributes: dict[str, str], data: bytes, registry: Registry) -> Decoded:
    wrong = _check_attributes(attributes)
    if wrong is not None:
        return wrong
    get = attributes.get
    if not (get("specversion") and get("id") and get("source") and get("type")):
        name = next(name for name in _REQUIRED if not get(name))
        return Undecodable(f"the attribute {name!r} is missing", f"ce_{name}")
    if attributes["specversion"] != "1.0":
        return Undecodable(
            f"specversion {attributes['specversion'][:SHOWN_CHARACTERS]!r} is not 1.0", "ce_specversion"
        )
    found = _event_type(attributes, registry)
    if not isinstance(found, EventType):
        return found
    if record.topic not in found.topics:
        return Undecodable(
            f"{found.name} does not belong on {record.topic} but on {' or '.join(found.topics)}", "ce_type"
        )
    time = parse_time(get("time", ""))
    if time is None:
        return Undecodable(
            "the attribute 'time' is missing, or no RFC 3339 time with a zone "
            f"in the years {FIRST_YEAR} to {LAST_YEAR}",
            "ce_time",
        )
    expected = get("expectedversion")
    if expected is not None and not (expected.isascii() and expected.isdigit() and len(expected) < 16):
        return Undecodable(f"expectedversion {expected[:20]!r} is no version", "ce_expectedversion")
    try:
        payload = decode_payload(found, data)
        if found is not registry.latest(found.name):
            upcast = newest(found, payload, registry)
            if upcast is None:
                return UnknownVersion(found.name, found.version)
            found, payload = upcast
    except PAYLOAD_ERRORS as error:
        return Undecodable(*reason_and_path(error))
    key = found.key(payload)
    if record.key != key.encode():
        return Undecodable(
            f"the record key has to be {key!r}: it fixes the order of one aggregate's events", "key"
        )
    return Event(
        id=attributes["id"],
        source=attributes["source"],
        type=found,
        time=time,
        key=key,
        subject=get("subject") or found.subject(payload),
        data=payload,
        correlation_id=get("correlationid"),
        causation_id=get("causationid"),
        expected_version=None if expected is None else int(expected),
        traceparent=get("traceparent"),
        extensions=NO_EXTENSIONS
        if _KNOWN.issuperset(attributes)
        else {name: value for name, value in attributes.items() if name not in _KNOWN},
    )


def _event_type(
    attributes: Mapping[str, str], registry: Registry
) -> EventType | Undecodable | UnknownType | UnknownVersion:
    name = attributes["type"]
    dataschema = attributes.get("dataschema")
    latest = registry.latest(name)
    if latest is None:
        return UnknownType(name)
    if dataschema is None or dataschema == latest.dataschema:
        return latest
    prefix, _, tail = dataschema.rpartition("/v")
    if not tail.isascii() or not tail.isdigit() or len(tail) > 9 or prefix.rpartition("/")[2] != name:
        return Undecodable(
            f"dataschema {dataschema[:SHOWN_CHARACTERS]!r} does not end in /{name[:SHOWN_CHARACTERS]}/v<n>",
            "ce_dataschema",
        )
    found = registry.get(name, int(tail))
    return found if found is not None else UnknownVersion(name, int(tail))


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
