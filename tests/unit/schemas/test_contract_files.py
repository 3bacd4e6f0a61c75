"""What is committed is what the code says: JSON Schemas, and a golden payload of every type and version ever published."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import orjson
import pytest

from schemas.codec import decode, encode, new_event
from schemas.envelope import Event, Record
from schemas.events import REGISTRY
from schemas.ids import MAX_ID
from schemas.jsonschema import FOLDER, closed_schema, main, path_of, stale, write
from schemas.payloads import decode_payload, parse_time
from schemas.registry import EventType
from schemas.validation import problems
from tests.unit.schemas.files import GOLDEN

TYPES = [pytest.param(one, id=f"{one.name}-v{one.version}") for one in REGISTRY]


def golden(event_type: EventType) -> bytes:
    return path_of(event_type, GOLDEN).read_bytes()


def objects_in(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            yield node
        for child in node.values():
            yield from objects_in(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects_in(child)


def test_the_committed_schemas_are_the_generated_ones() -> None:
    assert stale() == []
    assert main([]) == 0


def test_a_changed_a_missing_and_a_forgotten_schema_are_seen(tmp_path: Path) -> None:
    types = list(REGISTRY)
    assert set(write(folder=tmp_path)) == {path_of(one, tmp_path) for one in types}
    assert stale(folder=tmp_path) == []
    changed, missing = path_of(types[0], tmp_path), path_of(types[1], tmp_path)
    changed.write_bytes(changed.read_bytes().replace(b"false", b"true"))
    missing.unlink()
    forgotten = tmp_path / "millstream.thing.gone" / "v1.json"
    forgotten.parent.mkdir()
    forgotten.write_bytes(b"{}")
    assert set(stale(folder=tmp_path)) == {changed, missing, forgotten}


@pytest.mark.parametrize("event_type", TYPES)
def test_schemas_are_closed_at_every_depth(event_type: EventType) -> None:
    schema = orjson.loads(path_of(event_type, FOLDER).read_bytes())
    found = list(objects_in(schema))
    assert found
    assert all(one["additionalProperties"] is False for one in found)
    jsonschema_rs.meta.validate(schema)
    assert schema["$id"] == event_type.dataschema
    assert schema["description"]


def upcast_path(event_type: EventType) -> Path:
    """What an earlier version's golden payload says in the newest version."""
    return path_of(event_type, GOLDEN).with_suffix(f".as-v{newest_of(event_type).version}.json")


def newest_of(event_type: EventType) -> EventType:
    newest = REGISTRY.latest(event_type.name)
    assert newest is not None
    return newest


def test_every_golden_payload_belongs_to_a_type() -> None:
    earlier = [one for one in REGISTRY if newest_of(one) is not one]
    assert earlier, "search.completed has two versions"
    assert set(GOLDEN.rglob("*.json")) == {path_of(one, GOLDEN) for one in REGISTRY} | set(
        map(upcast_path, earlier)
    )


@pytest.mark.parametrize("event_type", TYPES)
def test_every_version_ever_published_is_read_as_the_newest(event_type: EventType) -> None:
    newest = newest_of(event_type)
    expected = path_of(event_type, GOLDEN) if newest is event_type else upcast_path(event_type)
    record = Record(
        event_type.topics[0],
        0,
        0,
        0,
        event_type.key(decode_payload(event_type, golden(event_type))).encode(),
        golden(event_type),
        tuple(
            (name, value.encode())
            for name, value in {
                "ce_specversion": "1.0",
                "ce_id": "e1",
                "ce_source": "//test",
                "ce_type": event_type.name,
                "ce_dataschema": event_type.dataschema,
                "ce_time": "2026-03-04T05:06:07Z",
            }.items()
        ),
    )
    event = decode(record)
    assert isinstance(event, Event)
    assert (event.type, type(event.data)) == (newest, newest.payload)
    assert orjson.loads(msgspec.json.encode(event.data)) == orjson.loads(expected.read_bytes())
    assert problems(newest.name, newest.version, expected.read_bytes()) == []


@pytest.mark.parametrize("event_type", TYPES)
def test_golden_payloads_validate_decode_and_come_back(event_type: EventType) -> None:
    data = golden(event_type)
    assert problems(event_type.name, event_type.version, data) == []
    payload = decode_payload(event_type, data)
    assert isinstance(payload, event_type.payload)
    assert orjson.loads(msgspec.json.encode(payload)) == orjson.loads(data)
    key = event_type.key(payload)
    assert key
    assert not key.isdigit() or 0 <= int(key) <= MAX_ID


@pytest.mark.parametrize("event_type", TYPES)
def test_golden_payloads_show_every_field(event_type: EventType) -> None:
    assert set(orjson.loads(golden(event_type))) == set(closed_schema(event_type)["properties"])


@pytest.mark.parametrize("event_type", TYPES)
def test_golden_payloads_survive_the_envelope(event_type: EventType) -> None:
    time = parse_time("2026-03-04T05:06:07.890123Z")
    assert time is not None
    event = new_event(
        decode_payload(event_type, golden(event_type)), source="//test", time=time, event_id="e1"
    )
    key, value, headers = encode(event)
    assert dict(headers)["ce_dataschema"] == event_type.dataschema.encode()
    if newest_of(event_type) is not event_type:
        return  # comes back as the newest version
    assert decode(Record(event_type.topics[0], 0, 0, 0, key, value, headers)) == event
    other = msgspec.structs.replace(event, id="e2")
    assert isinstance(other, Event)
    assert decode(Record(event_type.topics[0], 0, 0, 0, key, value, headers)) != other


@pytest.mark.parametrize("event_type", TYPES)
def test_readers_are_tolerant_and_the_edge_is_not(event_type: EventType) -> None:
    body = orjson.loads(golden(event_type))
    body["field_of_a_later_version"] = 1
    data = orjson.dumps(body)
    assert isinstance(decode_payload(event_type, data), event_type.payload)
    assert [one.path for one in problems(event_type.name, event_type.version, data)] == [
        "$.field_of_a_later_version"
    ]


@pytest.mark.parametrize("event_type", TYPES)
def test_each_required_field_is_required(event_type: EventType) -> None:
    body = orjson.loads(golden(event_type))
    for name in closed_schema(event_type)["required"]:
        data = orjson.dumps({field: value for field, value in body.items() if field != name})
        assert [(one.path, one.reason) for one in problems(event_type.name, event_type.version, data)] == [
            (f"$.{name}", "is required")
        ]
        with pytest.raises(msgspec.ValidationError):
            decode_payload(event_type, data)
