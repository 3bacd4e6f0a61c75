"""Records to events and back; what cannot be an event says why, and nothing raises."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import (
    MAX_RECORD_BYTES,
    TooLarge,
    Undecodable,
    UnknownType,
    UnknownVersion,
    decode,
    encode,
    new_event,
)
from schemas.envelope import Event, Headers, Position, Record
from schemas.events import RefMove, RepositoryPushed, RepositoryRegistered, RepositoryRenamed

TOPIC = "millstream.repositories"
NOW = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)
PAYLOAD = RepositoryRegistered(repository_id=7, name="h.example/a", path="/srv/a")


def an_event(**changes: object) -> Event:
    return new_event(PAYLOAD, source="//test", time=NOW, **changes)  # type: ignore[arg-type]


def a_record(
    *, topic: str = TOPIC, key: bytes | None = b"7", value: bytes | None = None, **headers: bytes | None
) -> Record:
    """The record of ``an_event``, with headers changed, or left out (None)."""
    _, encoded, found = encode(an_event())
    changed = dict(found) | headers
    kept: Headers = tuple((name, data) for name, data in changed.items() if data is not None)
    return Record(topic, 0, 0, 0, key, encoded if value is None else value, kept)


def test_an_event_comes_back_whole() -> None:
    event = new_event(
        PAYLOAD,
        source="//test",
        time=NOW,
        event_id="e",
        cause=an_event(event_id="cause"),
        expected_version=4,
        traceparent="00-a-b-01",
    )
    assert (event.causation_id, event.correlation_id, event.key, event.subject) == (
        "cause",
        "cause",
        "7",
        "7",
    )
    key, value, headers = encode(event)
    assert decode(Record(TOPIC, 1, 2, 3, key, value, headers)) == event
    assert dict(headers)["ce_time"] == b"2026-03-04T05:06:07.890123Z"
    assert dict(headers)["ce_dataschema"].endswith(b"/millstream.repository.registered/v1")


def test_both_modes_say_the_same() -> None:
    event = an_event(event_id="e", correlation_id="c")
    key, value, headers = encode(event)
    body = {name.removeprefix("ce_"): data.decode() for name, data in headers if name.startswith("ce_")}
    structured = orjson.dumps({**body, "data": orjson.loads(value), "expectedversion": None})
    record = Record(
        TOPIC, 0, 0, 0, key, structured, (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    )
    assert decode(record) == event


def test_extensions_are_kept() -> None:
    found = decode(a_record(ce_region=b"eu"))
    assert isinstance(found, Event)
    assert found.extensions == {"region": "eu"}


@pytest.mark.parametrize(
    ("record", "path", "reason"),
    [
        (a_record(value=b"{"), "$", "truncated"),
        (a_record(value=b"[]"), "$", "Expected `object`"),
        (a_record(value=b"\xff"), "$", "malformed"),
        (a_record(value=b'{"repository_id":7}'), "$", "missing required field"),
        (a_record(value=b'{"repository_id":"7"}'), "$.repository_id", "Expected `int`"),
        (a_record(value=b'{"repository_id":7,"name":"h/a\\u0000","path":"/x"}'), "$", "NUL"),
        (a_record(value=b'{"repository_id":7,"name":"h/a"}'), "$", "exactly one of path and clone_url"),
        (a_record(value=b" " * MAX_RECORD_BYTES), "", "more than the 900,000"),
        (a_record(ce_id=None), "ce_id", "missing"),
        (a_record(ce_id=b""), "ce_id", "missing"),
        (a_record(ce_id=b"a\0"), "ce_id", "NUL"),
        (a_record(ce_source=b"\xff"), "ce_source", "not UTF-8"),
        (a_record(ce_type=None), "ce_type", "missing"),
        (a_record(ce_specversion=b"0.3"), "ce_specversion", "not 1.0"),
        (a_record(ce_time=None), "ce_time", "missing"),
        (a_record(ce_time=b"2026-03-04T05:06:07"), "ce_time", "zone"),
        (a_record(ce_time=b'"'), "ce_time", "RFC 3339"),
        (a_record(ce_expectedversion=b"x"), "ce_expectedversion", "no version"),
        (a_record(ce_dataschema=b"millstream://schemas/other/v1"), "ce_dataschema", "does not end in"),
        (a_record(key=b"8"), "key", "has to be '7'"),
        (a_record(key=None), "key", "has to be '7'"),
        (a_record(topic="millstream.results"), "ce_type", "does not belong on"),
        (Record(TOPIC, 0, 0, 0, None, None, ()), "", "no value"),
        (Record(TOPIC, 0, 0, 0, b"7", b"{}", ()), "ce_specversion", "missing"),
        (
            Record(TOPIC, 0, 0, 0, b"7", b"[]", (("content-type", b"application/cloudevents+json"),)),
            "$",
            "JSON object",
        ),
        (
            Record(TOPIC, 0, 0, 0, b"7", b"{}", (("content-type", b"application/cloudevents+json"),)),
            "data",
            "no data",
        ),
    ],
)
def test_what_is_no_event_says_why(record: Record, path: str, reason: str) -> None:
    found = decode(record)
    assert isinstance(found, Undecodable)
    assert found.path == path
    assert reason in found.reason


def test_the_text_of_an_escape_is_no_nul() -> None:
    payload = RepositoryRenamed(repository_id=7, name="h.example/\\u0000")
    key, value, headers = encode(new_event(payload, source="//test", time=NOW))
    assert b"\\\\u0000" in value
    found = decode(Record(TOPIC, 0, 0, 0, key, value, headers))
    assert isinstance(found, Event)
    assert found.data == payload


def test_types_and_versions_of_the_future() -> None:
    assert decode(a_record(ce_type=b"millstream.thing.happened")) == UnknownType("millstream.thing.happened")
    later = decode(a_record(ce_dataschema=b"millstream://schemas/millstream.repository.registered/v2"))
    assert later == UnknownVersion("millstream.repository.registered", 2)


def test_an_event_that_is_too_large_is_not_encoded() -> None:
    moves = [RefMove(ref="x" * 4_000, old=None, new="a" * 40)] * (MAX_RECORD_BYTES // 4_000)
    huge = RepositoryPushed(repository_id=7, default_branch="main", tip="a" * 40, refs=moves)
    with pytest.raises(TooLarge):
        encode(new_event(huge, source="//test", time=NOW))


@given(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=200),
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "ce_id",
                    "ce_type",
                    "ce_time",
                    "ce_specversion",
                    "ce_source",
                    "content-type",
                    "traceparent",
                    "x",
                ]
            ),
            st.sampled_from([b"1.0", b"millstream.repository.registered", b"application/cloudevents+json"])
            | st.binary(max_size=30),
        ),
        max_size=8,
    ),
)
def test_nothing_raises(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    found = decode(Record(TOPIC, 0, 0, 0, key, value, tuple(headers)))
    assert isinstance(found, Undecodable | UnknownType | UnknownVersion | Event)


def test_positions_are_read_as_they_are_written() -> None:
    position = Position("millstream.work.background", 3, 17)
    assert Position.parse(str(position)) == position
    assert Position("a", 0, 2) < Position("a", 1, 0) < Position("b", 0, 0)
    for text in ("a", "a@1", "a/b@1", "a/1@"):
        with pytest.raises(ValueError):
            Position.parse(text)
