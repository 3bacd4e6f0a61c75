"""CloudEvents over HTTP, read: binary, structured and batch mode become the structured form that validation knows. Pure.

Source: CloudEvents 1.0, HTTP protocol binding. In binary mode attributes are headers ``ce-*``, percent-encoded where they are
not ASCII, and the body is the data.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

import msgspec
import orjson

from schemas.ids import derived_event_id
from schemas.registry import Audience, Registry
from schemas.validation import FieldProblem

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
MAX_EVENTS: Final = 1_000
"""In one batch."""
_JSON: Final = "application/json"
_PREFIX: Final = "ce-"
_OF_THE_BODY: Final = {"data": "content", "datacontenttype": "Content-Type"}
_ID_MISSING: Final = (
    "is required: without one, a repeat of this request could not be recognised as a repeat. "
    "Give the event an id of your own, or send the header Idempotency-Key"
)

RawHeaders = Iterable[tuple[bytes, bytes]]
"""Names in lower case, as a server hands them on."""


class NotRead(ValueError):
    """The request holds no CloudEvent: ``status`` and ``code`` of the answer, and what to do."""

    def __init__(
        self, status: int, code: str, message: str, *, remedy: str, problems: Sequence[FieldProblem] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.remedy = remedy
        self.problems = tuple(problems)


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """Structured events as they came (each any JSON value). ``is_batch``: the answer is a list too."""

    events: list[object]
    is_batch: bool = False


def received(headers: RawHeaders, body: bytes) -> Received:
    """What a request says. Raises NotRead."""
    pairs = list(headers)
    media_type = _media_type(pairs)
    if media_type == STRUCTURED:
        return Received(events=[_json(body, "$")])
    if media_type == BATCH:
        found = _json(body, "$")
        if not isinstance(found, list):
            raise _not_an_event(FieldProblem("$", "has to be a list of CloudEvents"))
        if not 1 <= len(found) <= MAX_EVENTS:
            raise _not_an_event(
                FieldProblem("$", f"has to hold 1 to {MAX_EVENTS:,} events, not {len(found):,}")
            )
        return Received(events=found, is_batch=True)
    if not any(name.startswith(_PREFIX.encode()) for name, _ in pairs):
        raise NotRead(
            415,
            "MEDIA_TYPE_UNSUPPORTED",
            "The request holds no CloudEvent: neither headers ce-* nor a Content-Type of CloudEvents.",
            remedy=f"Send one event as JSON with Content-Type {STRUCTURED}, or its attributes as headers ce-id, ce-source, "
            f"ce-type, ce-specversion and its data as the body with Content-Type {_JSON}.",
        )
    if media_type not in (_JSON, ""):
        raise NotRead(
            415,
            "MEDIA_TYPE_UNSUPPORTED",
            f"Content-Type {media_type[:100]!r} is not read.",
            remedy=f"In binary mode the body is the event's data: send Content-Type {_JSON}.",
        )
    return Received(events=[_binary(pairs, body)])


def completed(
    event: object, *, received_at: datetime, key: str | None, caller: str, item: int | None = None
) -> object:
    """The event with what the edge adds: ``time`` where there is none, ``id`` where an Idempotency-Key stands for it."""
    if not isinstance(event, dict):
        return event
    added: dict[str, object] = {}
    if event.get("time") is None:
        added["time"] = received_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if event.get("id") in (None, "") and key is not None:
        added["id"] = derived_event_id("http", caller, key, *(() if item is None else (item,)))
    return {**event, **added}


def explained(problems: Iterable[FieldProblem], item: int | None = None) -> list[FieldProblem]:
    """Problems of one event for the answer: with its place in the batch, and why an id is needed."""
    root = "$" if item is None else f"$[{item}]"
    return [
        FieldProblem(
            root + problem.path.removeprefix("$"),
            _ID_MISSING if problem == FieldProblem("$.id", "is required") else problem.reason,
        )
        for problem in problems
    ]


def is_internal(event: object, registry: Registry) -> bool:
    """Whether the event's type is one that only Millstream's own agents may state."""
    name = event.get("type") if isinstance(event, dict) else None
    found = registry.latest(name) if isinstance(name, str) else None
    return found is not None and found.audience is not Audience.EXTERNAL


def _binary(headers: RawHeaders, body: bytes) -> dict[str, object]:
    event: dict[str, object] = {}
    problems: list[FieldProblem] = []
    hop: str | None = None
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1")
        attribute = name.removeprefix(_PREFIX)
        if attribute == name and name != "traceparent":
            continue
        try:
            value = unquote(raw_value.decode(), errors="strict")
        except UnicodeDecodeError:
            problems.append(FieldProblem(f"$.{attribute}", "is not UTF-8; percent-encode what is not ASCII"))
            continue
        if attribute == name:
            hop = value
        elif attribute in _OF_THE_BODY:
            problems.append(
                FieldProblem(f"$.{attribute}", f"is no header: it is the body's {_OF_THE_BODY[attribute]}")
            )
        elif attribute in event:
            problems.append(FieldProblem(f"$.{attribute}", "is given twice"))
        else:
            event[attribute] = value
    if problems:
        raise _not_an_event(*problems)
    # The header of this hop; the extension of the same name says where the event began.
    return {**event, **({"traceparent": hop} if hop else {}), "data": _json(body, "$.data")}


def _json(body: bytes, path: str) -> object:
    try:
        found: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotRead(
            400,
            "BODY_MALFORMED",
            "The body is not JSON.",
            remedy="Send JSON in UTF-8.",
            problems=[FieldProblem(path, f"is not JSON: {error}")],
        ) from error
    return found


def _not_an_event(*problems: FieldProblem) -> NotRead:
    return NotRead(
        400,
        "EVENT_REFUSED",
        "This is no event that can be published.",
        remedy="Correct what the problems name, and send it again.",
        problems=problems,
    )


def _media_type(headers: RawHeaders) -> str:
    for name, value in headers:
        if name == b"content-type":
            return value.decode("latin-1").partition(";")[0].strip().lower()
    return ""
