"""The short way to an event and the long one say the same, of whatever stands in the headers."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, decode_closely, encode, new_event
from schemas.envelope import Event, Headers, Record
from schemas.events import REGISTRY, CountingStatistics, RepositoryRegistered, SearchCompleted, SeriesResult
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id
from schemas.plain import NAMES, decode_plain

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)
RESULT = SearchCompleted(
    request_id="r",
    repository_id=7,
    insight_id=1,
    attempt=1,
    matcher_version=1,
    engine="git",
    series=[
        SeriesResult(
            series_id=series_id(SeriesIdentity(query="a")),
            unit=TimeUnit.MONTH,
            value=1,
            covered=[(600, 602)],
            indexes=[600],
            values=[5],
            commit_refs=[0],
        )
    ],
    commits=["a" * 40],
    statistics=CountingStatistics(files=3),
)
REGISTERED = RepositoryRegistered(repository_id=7, name="h.example/a", path="/srv/a")
TAIL = ("ce_correlationid", "ce_causationid", "traceparent", "ce_expectedversion")
ODD_NAMES = (*NAMES, *TAIL, "ce_traceparent", "ce_datacontenttype", "ce_data", "ce_region", "x", "")
ODD_DATA = (
    b"",
    b"1.0",
    b"7",
    b"\0",
    b"\xff",
    "\N{SNOWMAN}".encode(),
    b"a" * 1_025,
    b"a" * 400,
    b"application/json; charset=utf-8",
    b"application/cloudevents+json",
    b"millstream.search.completed",
    b"millstream.repository.registered",
    b"millstream://schemas/millstream.search.completed/v1",
    b"millstream://schemas/millstream.search.completed/v2",
    b"millstream://schemas/millstream.search.completed/v3",
    b"2026-03-04T05:06:07Z",
    b"2026-03-04 05:06:07.5+23:59",
    b"2026-03-04T05:06:07",
    b"9999-12-31T23:59:59Z",
    b"20260304T050607Z",
    b'2026-03-04T05:06:07Z"',
)
VALUES = (
    None,
    b"",
    b"{}",
    b"[]",
    encode(new_event(REGISTERED, source="//t", time=NOW))[1],
    encode(new_event(RESULT, source="//t", time=NOW))[1].replace(b"s:", b"t:"),
    encode(new_event(RESULT, source="//t", time=NOW))[1].replace(b'"git"', b'"\\u0000"'),
    encode(new_event(RESULT, source="//t", time=NOW))[1].replace(b"}", b" " * 400_000 + b"}", 1),
)

changes = st.lists(
    st.tuples(
        st.sampled_from(("set", "drop", "add", "swap", "rename")),
        st.integers(0, 11),
        st.sampled_from(ODD_NAMES),
        st.sampled_from(ODD_DATA) | st.binary(max_size=20),
    ),
    max_size=3,
)


def changed(headers: Headers, steps: Sequence[tuple[str, int, str, bytes]]) -> Headers:
    """``headers`` with a few of them set, dropped, added, swapped, or under another name."""
    found = list(headers)
    for kind, place, name, data in steps:
        at = place % len(found) if found else 0
        if kind == "add" or not found:
            found.insert(at, (name, data))
        elif kind == "set":
            found[at] = (found[at][0], data)
        elif kind == "drop":
            del found[at]
        elif kind == "swap":
            found[0], found[at] = found[at], found[0]
        else:
            found[at] = (name, found[at][1])
    return tuple(found)


@given(
    st.sampled_from((RESULT, REGISTERED)),
    st.none() | st.sampled_from(("c", "\N{SNOWMAN}")),
    st.none() | st.sampled_from(("00-a-b-01",)),
    st.none() | st.just(3),
    changes,
    st.just(False) | st.sampled_from(VALUES),
    st.sampled_from((b"7", b"8", b"", None)),
    st.sampled_from(("millstream.results", "millstream.repositories")),
)
def test_both_ways_say_the_same(
    payload: SearchCompleted | RepositoryRegistered,
    correlation: str | None,
    trace: str | None,
    expected: int | None,
    steps: list[tuple[str, int, str, bytes]],
    value: bytes | bool | None,
    key: bytes | None,
    topic: str,
) -> None:
    event = new_event(
        payload,
        source="//t",
        time=NOW,
        correlation_id=correlation,
        traceparent=trace,
        expected_version=expected,
    )
    _, encoded, headers = encode(event)
    data = encoded if isinstance(value, bool) else value
    record = Record(topic, 0, 1, 2, key, data, changed(headers, steps))
    assert decode(record) == decode_closely(record)


def test_our_own_events_take_the_short_way() -> None:
    cause = new_event(REGISTERED, source="//t", time=NOW)
    for payload in (RESULT, REGISTERED):
        event = new_event(payload, source="//t", time=NOW, cause=cause, traceparent="00-a-b-01")
        key, value, headers = encode(event)
        record = Record(event.type.topics[0], 0, 1, 2, key, value, headers)
        assert decode_plain(record, REGISTRY) == event


def test_an_older_version_takes_the_long_way() -> None:
    event = new_event(RESULT, source="//t", time=NOW)
    key, value, headers = encode(event)
    named = dict(headers) | {"ce_dataschema": b"millstream://schemas/millstream.search.completed/v1"}
    record = Record("millstream.results", 0, 1, 2, key, value, tuple(named.items()))
    assert decode_plain(record, REGISTRY) is None
    assert isinstance(decode(record), Event)
