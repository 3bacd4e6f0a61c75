"""Earlier versions are read through pure steps; a missing step stops a partition and is seen."""

import copy
import time
from typing import Any

import msgspec
import orjson
import pytest

from schemas.codec import UnknownVersion, decode, encode, new_event
from schemas.envelope import Event, Record
from schemas.events import REGISTRY, SearchCompleted, SearchCompletedV1
from schemas.payloads import decode_payload, parse_time
from schemas.registry import Audience, Body, EventType, Payload, Registry
from schemas.results.upcasters import search_completed_1_to_2
from schemas.topics import Topic
from schemas.upcasting import newest, steps_to_newest, unreachable
from tests.unit.schemas.files import GOLDEN

COMPLETED = "millstream.search.completed"


class _First(Payload, frozen=True, kw_only=True):
    """One."""

    id: int


class _Second(Payload, frozen=True, kw_only=True):
    """Two."""

    id: int
    name: str


class _Third(Payload, frozen=True, kw_only=True):
    """Three."""

    id: int
    names: list[str]


def _named(body: Body) -> Body:
    return body | {"name": f"n{body['id']}"}


def _listed(body: Body) -> Body:
    return {"id": body["id"], "names": [body["name"]]}


def _registry(*steps: Any) -> Registry:
    registry = Registry()
    payloads: list[type[Payload]] = [_First, _Second, _Third]
    for version, (payload, step) in enumerate(zip(payloads, steps, strict=True), start=1):
        registry.add(
            EventType(
                name="millstream.thing.said",
                version=version,
                payload=payload,
                topics=(Topic.RESULTS,),
                key=lambda data: str(data.id),
                subject=lambda data: str(data.id),
                audience=Audience.INTERNAL,
                guarded=False,
                summary="",
                upcaster=step,
            )
        )
    return registry


def _record(payload: Payload, registry: Registry) -> Record:
    now = parse_time("2026-03-04T05:06:07Z")
    assert now is not None
    key, value, headers = encode(new_event(payload, source="//test", time=now, registry=registry))
    return Record(Topic.RESULTS, 0, 0, 0, key, value, headers)


@pytest.mark.parametrize("said", [_First(id=7), _Second(id=7, name="n7"), _Third(id=7, names=["n7"])])
def test_every_version_comes_out_as_the_newest(said: Payload) -> None:
    registry = _registry(_named, _listed, None)
    found = decode(_record(said, registry), registry)
    assert isinstance(found, Event)
    assert found.data == _Third(id=7, names=["n7"])
    assert found.type is registry.latest("millstream.thing.said")
    assert unreachable(registry) == []


def test_a_version_without_a_step_stops_its_partition() -> None:
    registry = _registry(_named, None, None)
    first, second, third = registry
    assert unreachable(registry) == [first, second]
    assert steps_to_newest(third, registry) == (third,)
    found = decode(_record(_First(id=7), registry), registry)
    assert found == UnknownVersion("millstream.thing.said", 1)
    assert decode(_record(_Second(id=7, name="a"), registry), registry) == UnknownVersion(second.name, 2)


def test_every_version_of_this_build_can_be_read() -> None:
    assert unreachable(REGISTRY) == []
    versions = [one.version for one in REGISTRY if one.name == COMPLETED]
    assert sorted(versions) == [1, 2]


def _golden(version: int) -> bytes:
    return (GOLDEN / COMPLETED / f"v{version}.json").read_bytes()


def test_a_step_is_pure() -> None:
    body = orjson.loads(_golden(1))
    before = copy.deepcopy(body)
    assert search_completed_1_to_2(body) == search_completed_1_to_2(body)
    assert body == before


def test_a_first_result_says_the_same_in_the_second_version() -> None:
    event_type = REGISTRY.get(COMPLETED, 1)
    assert event_type is not None
    first = decode_payload(event_type, _golden(1))
    assert isinstance(first, SearchCompletedV1)
    found = newest(event_type, first, REGISTRY)
    assert found is not None
    second = found[1]
    assert isinstance(second, SearchCompleted)
    for before, after in zip(first.series, second.series, strict=True):
        assert [second.commits[ref] for ref in after.commit_refs] == before.commits
        assert (after.covered, after.indexes, after.values) == (before.covered, before.indexes, before.values)
        assert [
            None if cell.commit_ref is None else second.commits[cell.commit_ref] for cell in after.incomplete
        ] == [cell.commit for cell in before.incomplete]


def test_fields_that_only_a_later_version_knows_do_not_reach_it_from_an_earlier_one() -> None:
    body = orjson.loads(_golden(1)) | {"commits": ["x"], "snapshot": 3}
    body["series"][0]["commit_refs"] = "nonsense"
    event_type = REGISTRY.get(COMPLETED, 1)
    assert event_type is not None
    found = newest(event_type, decode_payload(event_type, orjson.dumps(body)), REGISTRY)
    assert found is not None
    expected = orjson.loads((GOLDEN / COMPLETED / "v1.as-v2.json").read_bytes())
    assert orjson.loads(msgspec.json.encode(found[1])) == expected


def test_an_earlier_version_costs_at_most_a_few_times_as_much() -> None:
    earlier, newer = _golden_record(1), _golden_record(2)
    pairs = [(_own_seconds(earlier), _own_seconds(newer)) for _ in range(60)]
    # Turn by turn and in this thread's own time: a busy machine slows both alike.
    assert min(pair[0] for pair in pairs) < 6 * min(pair[1] for pair in pairs)


def _golden_record(version: int) -> Record:
    event_type = REGISTRY.get(COMPLETED, version)
    assert event_type is not None
    now = parse_time("2026-03-04T05:06:07Z")
    assert now is not None
    payload = decode_payload(event_type, _golden(version))
    return Record(Topic.RESULTS, 0, 0, 0, *encode(new_event(payload, source="//test", time=now)))


def _own_seconds(record: Record) -> float:
    began = time.thread_time()
    for _ in range(40):
        decode(record)
    return time.thread_time() - began
