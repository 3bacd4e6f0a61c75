"""Validation at the edge: what somebody else wants to publish, checked against the closed schemas (DESIGN section 3).

Every problem names its field by a path (``$.series[0].label``, ``$.data.series[0].label`` in a structured event) and says
in words what it has to be. Nothing is raised for bad input.
"""

import difflib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec
import orjson

from schemas.codec import (
    MAX_RECORD_BYTES,
    attribute_problem,
    attributes_of,
    encode,
)
from schemas.envelope import Event
from schemas.errors import MillstreamError
from schemas.events import REGISTRY, RepositoryRegistered
from schemas.ids import InvalidRepositoryName, canonical_repository_name, repository_id
from schemas.jsonschema import closed_schema
from schemas.limits import FIRST_YEAR, LAST_YEAR
from schemas.payloads import PAYLOAD_ERRORS, decode_payload, parse_time, reason_and_path
from schemas.registry import Audience, EventType, Registry

MAX_PROBLEMS: Final = 50
"""More than these are not listed: whoever reads them has enough to do."""

_SHOWN_CHARACTERS: Final = 60
_ATTRIBUTES: Final = frozenset(
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
        "traceparent",
        "data",
    )
)
_TELLING: Final = re.compile(r"authorization|cookie|password|passwd|secret|credential|token|apikey|e?mail")
"""Extension attributes of these names are refused: nobody needs them, and what a tool adds unasked is caught."""
_TYPE_NAMES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class FieldProblem(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong: where (JSONPath), and what it has to be."""

    path: str
    reason: str


class EventRefused(MillstreamError):
    """Something that was to be published is no valid event. ``problems`` is never empty."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(
            "; ".join(f"{problem.path}: {problem.reason}" for problem in problems),
            remedy="correct the event and publish it again",
        )
        self.problems = tuple(problems)


def problems(type_name: str, version: int, data: bytes, registry: Registry = REGISTRY) -> list[FieldProblem]:
    """What is wrong with these bytes as the payload of this type and version; empty when nothing is."""
    event_type = registry.get(type_name, version)
    if event_type is None:
        return [FieldProblem("$", _unknown_type(type_name, version, registry))]
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return [FieldProblem("$", f"is not JSON: {error}")]
    return _payload_problems(event_type, body, "$")


def publication_problems(
    structured_event: object, *, external_only: bool = True, registry: Registry = REGISTRY
) -> list[FieldProblem]:
    """What is wrong with a CloudEvent in its structured JSON form; empty when it may be published.

    Args:
        structured_event: the parsed JSON.
        external_only: refuse types that only Millstream's own agents may state.
        registry: the types that are known.
    """
    try:
        structured_event = orjson.loads(orjson.dumps(structured_event))
    except (TypeError, ValueError, RecursionError) as error:  # lone surrogates, numbers without end, depth
        return [FieldProblem("$", f"cannot be written as JSON: {error}")]
    if not isinstance(structured_event, Mapping):
        return [FieldProblem("$", "has to be an object: one CloudEvent in structured form")]
    found = list(_attribute_problems(structured_event))
    event_type = _type_of(structured_event, registry, external_only, found)
    if "data" not in structured_event:
        found.append(FieldProblem("$.data", "is required"))
    elif event_type is not None:
        data_problems = _payload_problems(event_type, structured_event["data"], "$.data")
        found += data_problems
        if not data_problems and not found:
            found += _agreement_problems(event_type, structured_event)
    return found[:MAX_PROBLEMS]


def event_from(
    structured_event: object, *, external_only: bool = True, registry: Registry = REGISTRY
) -> Event:
    """The event that a structured CloudEvent says, ready to be published. Raises EventRefused."""
    found = publication_problems(structured_event, external_only=external_only, registry=registry)
    if found or not isinstance(structured_event, Mapping):
        raise EventRefused(found)
    event_type = _registered(attributes_of(structured_event), registry)
    if event_type is None:
        raise EventRefused([FieldProblem("$.dataschema", "names no version")])
    return _event(event_type, structured_event)


def _event(event_type: EventType, body: Mapping[str, Any]) -> Event:
    """Of a body in which no problem was found."""
    attributes = attributes_of(body)
    time = parse_time(attributes["time"])
    if time is None:
        raise EventRefused([FieldProblem("$.time", "is no time")])
    payload = decode_payload(event_type, orjson.dumps(body["data"]))
    expected = attributes.get("expectedversion")
    return Event(
        id=attributes["id"],
        source=attributes["source"],
        type=event_type,
        time=time,
        key=event_type.key(payload),
        subject=event_type.subject(payload),
        data=payload,
        correlation_id=attributes.get("correlationid"),
        causation_id=attributes.get("causationid"),
        expected_version=None if expected is None else int(expected),
        traceparent=attributes.get("traceparent"),
        extensions={name: value for name, value in attributes.items() if name not in _ATTRIBUTES},
    )


def _attribute_problems(event: Mapping[str, Any]) -> Iterator[FieldProblem]:
    for name in ("specversion", "id", "source", "type", "time"):
        if event.get(name) in (None, ""):
            yield FieldProblem(f"$.{name}", "is required")
        elif not isinstance(event[name], str):
            yield FieldProblem(f"$.{name}", f"has to be text, not {_shown(event[name])}")
    if isinstance(event.get("specversion"), str) and event["specversion"] not in ("", "1.0"):
        yield FieldProblem("$.specversion", f"has to be '1.0', not {_shown(event['specversion'])}")
    time = event.get("time")
    if isinstance(time, str) and time and parse_time(time) is None:
        yield FieldProblem(
            "$.time",
            f"has to be an RFC 3339 time with a zone, in the years {FIRST_YEAR} to {LAST_YEAR}, not {_shown(time)}",
        )
    content_type = event.get("datacontenttype")
    if content_type is not None and str(content_type).partition(";")[0].strip().lower() != "application/json":
        yield FieldProblem("$.datacontenttype", f"has to be 'application/json', not {_shown(content_type)}")
    expected = event.get("expectedversion")
    if expected is not None and not _is_version(expected):
        yield FieldProblem("$.expectedversion", f"has to be a whole number from 0, not {_shown(expected)}")
    for name, value in event.items():
        if name in ("data", "time", "datacontenttype", "expectedversion"):
            continue
        if not (name.isascii() and name.isalnum() and name == name.lower()):
            yield FieldProblem(
                f"$.{name[:_SHOWN_CHARACTERS]}",
                "is no attribute: names have lower-case letters and digits only",
            )
        elif name not in _ATTRIBUTES and _TELLING.search(name):
            yield FieldProblem(f"$.{name}", "sounds like a secret or an address, which no event may have")
        elif value is not None and not isinstance(value, str | int | bool):
            yield FieldProblem(f"$.{name}", f"has to be text, not {_shown(value)}")
        elif isinstance(value, str) and (problem := attribute_problem(name, value)) is not None:
            yield FieldProblem(f"$.{name[:_SHOWN_CHARACTERS]}", problem)


def _type_of(
    event: Mapping[str, Any], registry: Registry, external_only: bool, found: list[FieldProblem]
) -> EventType | None:
    """The type that the event names; None, and the reason in ``found``, when it may not be published."""
    name = event.get("type")
    if not isinstance(name, str) or not name:
        return None
    dataschema = event.get("dataschema")
    if dataschema is not None and not isinstance(dataschema, str):
        return None
    latest = registry.latest(name)
    if latest is None:
        found.append(FieldProblem("$.type", _unknown_type(name, None, registry)))
        return None
    event_type = _registered({"type": name} | ({"dataschema": dataschema} if dataschema else {}), registry)
    if event_type is None:
        found.append(
            FieldProblem("$.dataschema", f"has to end in /{name}/v{latest.version}, not {_shown(dataschema)}")
        )
        return None
    if external_only and event_type.audience is not Audience.EXTERNAL:
        found.append(FieldProblem("$.type", f"{name} is stated by Millstream's own agents only"))
    return event_type


def _registered(attributes: Mapping[str, str], registry: Registry) -> EventType | None:
    name, dataschema = attributes["type"], attributes.get("dataschema")
    if dataschema is None:
        return registry.latest(name)
    prefix, _, version = dataschema.rpartition("/v")
    if prefix.rpartition("/")[2] != name or not (
        version.isascii() and version.isdigit() and len(version) < 10
    ):
        return None
    return registry.get(name, int(version))


def _agreement_problems(event_type: EventType, body: Mapping[str, Any]) -> list[FieldProblem]:
    """Of a body whose parts are right: do they agree, and is the whole small enough?"""
    event = _event(event_type, body)
    found: list[FieldProblem] = []
    if event.expected_version is not None and not event_type.guarded:
        found.append(
            FieldProblem(
                "$.expectedversion", f"means nothing here: {event_type.name} is not judged by versions"
            )
        )
    subject = body.get("subject")
    if subject is not None and str(subject) != event.subject:
        found.append(
            FieldProblem("$.subject", f"has to be {event.subject!r} (or absent), not {_shown(subject)}")
        )
    if isinstance(event.data, RepositoryRegistered):
        found += _identity_problems(event.data)
    try:
        encode(event)
    except MillstreamError as error:
        found.append(FieldProblem("$", f"is too large: {error} (limit {MAX_RECORD_BYTES:,})"))
    return found


def _identity_problems(data: RepositoryRegistered) -> Iterator[FieldProblem]:
    """A new repository's id is that of its name: another would be a second repository beside the right one."""
    try:
        name = canonical_repository_name(data.name)
    except InvalidRepositoryName as error:
        yield FieldProblem("$.data.name", str(error))
        return
    if name != data.name:
        yield FieldProblem("$.data.name", f"has to be canonical: {name!r}")
    elif (expected := repository_id(name)) != data.repository_id:
        yield FieldProblem(
            "$.data.repository_id", f"has to be {expected}, the id of {name!r}, not {data.repository_id}"
        )


def _payload_problems(event_type: EventType, body: object, root: str) -> list[FieldProblem]:
    found = [
        problem for error in _validator(event_type).iter_errors(body) for problem in _in_words(error, root)
    ]
    if found:
        return sorted(set(found))[:MAX_PROBLEMS]
    # What the schema cannot say (rules between fields, number formats): readers must never refuse what the edge let in.
    try:
        decode_payload(event_type, orjson.dumps(body))
    except (*PAYLOAD_ERRORS, TypeError, ValueError) as error:
        reason, path = reason_and_path(error)
        return [FieldProblem(root + path.removeprefix("$"), reason)]
    return []


@functools.cache
def _validator(event_type: EventType) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(closed_schema(event_type), validate_formats=True)


def _in_words(error: Any, root: str) -> Iterator[FieldProblem]:
    """The validator's error in our words, at the field it is about."""
    path = root + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path
    )
    kind: dict[str, Any] = {"name": error.kind.name, **error.kind.as_dict()}
    match kind["name"]:
        case "required":
            yield FieldProblem(f"{path}.{kind['property']}", "is required")
        case "additionalProperties":
            for name in kind["unexpected"]:
                yield FieldProblem(f"{path}.{name[:_SHOWN_CHARACTERS]}", "is no field of this type")
        case "type":
            wanted = " or ".join(_TYPE_NAMES[name] for name in kind["types"])
            yield FieldProblem(path, f"has to be {wanted}, not {_shown(error.instance)}")
        case "enum":
            options = [str(option) for option in error.kind.options]
            close = difflib.get_close_matches(str(error.instance).upper(), [o.upper() for o in options], n=1)
            hint = f" (did you mean {next(o for o in options if o.upper() == close[0])}?)" if close else ""
            yield FieldProblem(
                path, f"has to be one of {', '.join(options)}, not {_shown(error.instance)}{hint}"
            )
        case "anyOf":
            # Ours are "something or null": speak of the something.
            for inner in error.kind.context[0]:
                yield from _in_words(inner, root)
        case "minimum":
            yield FieldProblem(path, f"has to be at least {error.kind.limit}, not {_shown(error.instance)}")
        case "maximum":
            yield FieldProblem(path, f"has to be at most {error.kind.limit}, not {_shown(error.instance)}")
        case "minLength" | "minItems":
            yield FieldProblem(path, f"has to have at least {error.kind.limit} {_unit(kind['name'])}")
        case "maxLength" | "maxItems":
            yield FieldProblem(path, f"has to have at most {error.kind.limit} {_unit(kind['name'])}")
        case "pattern":
            yield FieldProblem(
                path, f"has to match {error.kind.pattern}, which {_shown(error.instance)} does not"
            )
        case "format":
            yield FieldProblem(path, f"has to be an RFC 3339 time with a zone, not {_shown(error.instance)}")
        case _:
            yield FieldProblem(path, error.message[:200])


def _unit(kind: str) -> str:
    return "characters" if kind.endswith("Length") else "entries"


def _shown(value: object) -> str:
    """A value in a message: short, and in JSON's own form."""
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _is_version(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return 0 <= value < 1 << 31
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10


def _unknown_type(name: str, version: int | None, registry: Registry) -> str:
    known = sorted({event_type.name for event_type in registry})
    if name in known:
        return f"{name} has no version {version}"
    close = difflib.get_close_matches(name, known, n=1)
    return f"{_shown(name)} is no event type" + (f" (did you mean {close[0]}?)" if close else "")
