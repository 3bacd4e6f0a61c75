"""Publishing and reading over a real broker."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.kafka.errors import KafkaUnreachable, OffsetOutOfRange, PublishFailed, TopicMissing
from infra.kafka.partitioner import partition_for
from infra.kafka.producer import Publisher, TopicNotNamed
from infra.settings import Settings
from schemas.codec import (
    MAX_RECORD_BYTES,
    TooLarge,
    Undecodable,
    UnknownType,
    decode,
    encode,
    new_event,
    record_size_bytes,
)
from schemas.envelope import Event, Position, Record
from schemas.events import (
    BackfillPlanned,
    DispatchedRequest,
    Lane,
    PlanCause,
    PlannedScope,
    RecordingDispatched,
    RecordingRequest,
    RepositoryRegistered,
    RequestedSeries,
)
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id, stable_id
from schemas.topics import Topic

MakeTopic = Callable[..., str]
TIMEOUT_S = 30.0
AT = datetime(2026, 1, 1, tzinfo=UTC)
ID_BYTES = 17
"""A repository in a list: 16 digits and a comma."""


@pytest.fixture(scope="module")
def installed(settings: Settings) -> Settings:
    set_up(settings)
    return settings


def registered(name: str) -> Event:
    payload = RepositoryRegistered(
        repository_id=stable_id(name), name=f"h.example/{name}", path=f"/srv/{name}"
    )
    return new_event(payload, source="//test", time=datetime.now(UTC))


def read(reader: LogReader, records: int) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(found) < records and time.monotonic() < deadline:
        found += reader.poll(500, 1.0)
    return found


def poll_until_it_raises(reader: LogReader) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        reader.poll(10, 1.0)


def test_events_are_published_where_they_are_said_to_be(installed: Settings, admin: KafkaAdmin) -> None:
    events = [registered(f"where-{uuid.uuid4()}") for _ in range(300)]
    before = int(time.time() * 1000)
    with Publisher(installed) as publisher, LogReader(installed) as reader:
        positions = publisher.publish(events)
        assert [position.partition for position in positions] == [
            partition_for(event.key, 8) for event in events
        ]
        assert len(set(positions)) == 300
        for event, position in list(zip(events, positions, strict=True))[::60]:
            record = reader.read_one(position.topic, position.partition, position.offset)
            assert record is not None
            assert record.position == position
            assert decode(record) == event
            assert before - 5_000 <= record.timestamp_ms <= int(time.time() * 1000) + 5_000
        marks = admin.watermarks(Topic.REPOSITORIES)
        assert all(
            marks[position.partition].start <= position.offset < marks[position.partition].end
            for position in positions
        )
        assert publisher.publish([]) == []


def test_events_of_one_key_keep_their_order(installed: Settings) -> None:
    name = f"order-{uuid.uuid4()}"
    events = [registered(name) for _ in range(500)]
    with Publisher(installed) as publisher:
        positions = publisher.publish(events)
    assert positions == sorted(positions)
    assert positions[-1].offset - positions[0].offset == 499


def test_a_type_on_two_topics_has_to_be_told_which(installed: Settings) -> None:
    series = RequestedSeries(
        series_id=series_id(SeriesIdentity(query="q")),
        query="q",
        unit=TimeUnit.MONTH,
        value=1,
        frames=[(600, 601)],
    )
    request = RecordingRequest(
        request_id="r", repository_id=7, insight_id=8, creator="a", lane=Lane.BACKFILL, series=[series]
    )
    payload = RecordingDispatched(
        requests=[DispatchedRequest(request=request, attempt=1)], deadline=datetime.now(UTC)
    )
    event = new_event(payload, source="//test", time=datetime.now(UTC))
    with Publisher(installed) as publisher:
        with pytest.raises(TopicNotNamed):
            publisher.publish([event])
        with pytest.raises(TopicNotNamed):
            publisher.publish([event], topic=Topic.RESULTS)
        (position,) = publisher.publish([event], topic=Topic.WORK_BACKGROUND)
    assert position.topic == Topic.WORK_BACKGROUND


def plan_of(repositories: int, padding: str) -> BackfillPlanned:
    """A plan whose size in bytes can be chosen: ``ID_BYTES`` a repository, and the padding."""
    return BackfillPlanned(
        insight_id=1,
        cause=PlanCause.INSIGHT_CREATED,
        scopes=[PlannedScope(series=[], repositories=[10 ** (ID_BYTES - 2)] * repositories)],
        part=1,
        of=1,
        waited_for=[padding],
    )


def test_nothing_is_sent_when_one_event_is_too_large(installed: Settings, admin: KafkaAdmin) -> None:
    huge = plan_of(70_000, "")
    before = admin.watermarks(Topic.REPOSITORIES), admin.watermarks(Topic.INSIGHTS)
    with Publisher(installed) as publisher, pytest.raises(TooLarge):
        publisher.publish([registered("small"), new_event(huge, source="//test", time=datetime.now(UTC))])
    assert (admin.watermarks(Topic.REPOSITORIES), admin.watermarks(Topic.INSIGHTS)) == before


def test_the_largest_event_that_is_allowed_goes_through(installed: Settings) -> None:
    base = plan_of(50_000, "")
    spare = MAX_RECORD_BYTES - record_size_bytes(
        *encode(new_event(base, source="//t", time=AT, event_id="e"))
    )
    assert spare > 0
    whole, rest = divmod(spare, ID_BYTES)
    large = plan_of(50_000 + whole, "x" * rest)
    event = new_event(large, source="//t", time=AT, event_id="e")
    with Publisher(installed) as publisher, LogReader(installed) as reader:
        (position,) = publisher.publish([event])
        record = reader.read_one(position.topic, position.partition, position.offset)
    assert record is not None
    assert decode(record) == event


def test_a_topic_that_is_not_there_fails_and_says_what_to_do(settings: Settings) -> None:
    hasty = settings.model_copy(update={"publish_timeout_s": 3.0})
    with Publisher(hasty) as publisher, pytest.raises(PublishFailed) as caught:
        publisher.publish_raw("no.such.topic", b"k", b"v")
    assert "no.such.topic" in str(caught.value)
    assert caught.value.remedy
    with LogReader(settings) as reader:
        reader.assign({("no.such.topic", 0): 0})
        with pytest.raises(TopicMissing):
            poll_until_it_raises(reader)
    with KafkaAdmin(settings) as admin, pytest.raises(TopicMissing):
        admin.watermarks("no.such.topic")


def test_no_broker_is_an_error_with_a_remedy() -> None:
    with pytest.raises(KafkaUnreachable) as caught:
        KafkaAdmin(Settings(kafka_bootstrap="127.0.0.1:1"), timeout_s=1.0)
    assert "MILLSTREAM_KAFKA_BOOTSTRAP" in caught.value.remedy


def test_malformed_records_between_good_ones_are_told_apart(
    settings: Settings, make_topic: MakeTopic
) -> None:
    """Straight onto the topic, past the edge: each becomes a value with a reason, and the good ones around it are read."""
    topic = make_topic()
    first, second = registered("good"), registered("good")
    key, value, headers = encode(first)
    named = dict(headers)
    without_id = tuple((name, data) for name, data in headers if name != "ce_id")
    bad: list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]] = [
        (key, b"{not json", headers),
        (key, None, headers),
        (None, value, headers),
        (key, value, ()),
        (key, value, without_id),
        (key, b'{"repository_id": "seven"}', headers),
        (key, value, tuple({**named, "ce_type": b"millstream.thing.happened"}.items())),
        (b"other", value, headers),
        (key, b" " * 950_000 + value, headers),
    ]
    with Publisher(settings) as publisher, LogReader(settings) as reader:
        outgoing = [(topic, *encode(first)), *((topic, *one) for one in bad), (topic, *encode(second))]
        publisher.publish_all(outgoing)
        reader.assign({(topic, 0): 0})
        records = read(reader, len(outgoing))
    # The registry knows where each type belongs: read them as if from there.
    found = [
        decode(Record(Topic.REPOSITORIES, r.partition, r.offset, r.timestamp_ms, r.key, r.value, r.headers))
        for r in records
    ]
    assert (found[0], found[-1]) == (first, second)
    kinds = [type(one) for one in found[1:-1]]
    assert kinds == [Undecodable] * 6 + [UnknownType] + [Undecodable] * 2
    assert all(one.reason for one in found if isinstance(one, Undecodable))


def test_a_header_without_value_is_an_empty_one(settings: Settings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with Publisher(settings) as publisher, LogReader(settings) as reader:
        position = publisher.publish_raw(topic, None, b"v", (("a", None), ("b", b"1")))  # type: ignore[arg-type]
        bare = publisher.publish_raw(topic, b"", None)
        record = reader.read_one(position.topic, position.partition, position.offset)
        second = reader.read_one(bare.topic, bare.partition, bare.offset)
    assert record is not None
    assert (record.key, record.headers) == (None, (("a", b""), ("b", b"1")))
    assert second is not None
    assert (second.key, second.value, second.headers) == (b"", None, ())


def test_one_record_or_none(settings: Settings, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    with Publisher(settings) as publisher, LogReader(settings) as reader:
        positions = publisher.publish_all([(topic, b"k", str(number).encode(), ()) for number in range(50)])
        there = positions[0].partition
        for number in (0, 49, 7):
            record = reader.read_one(topic, there, number)
            assert record is not None
            assert record.value == str(number).encode()
        assert reader.read_one(topic, there, 50) is None
        assert reader.read_one(topic, there, 10**12) is None
        assert reader.read_one(topic, 1 - there, 0) is None


def test_an_offset_beyond_the_log_is_an_error_not_a_jump(settings: Settings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with Publisher(settings) as publisher, LogReader(settings) as reader:
        publisher.publish_raw(topic, b"k", b"v")
        reader.assign({(topic, 0): 100})
        with pytest.raises(OffsetOutOfRange, match=topic):
            poll_until_it_raises(reader)


def test_seek_pause_and_resume(settings: Settings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with Publisher(settings) as publisher, LogReader(settings) as reader:
        publisher.publish_all([(topic, b"k", str(number).encode(), ()) for number in range(10)])
        reader.assign({(topic, 0): 8})
        assert [record.offset for record in read(reader, 2)] == [8, 9]
        reader.seek(topic, 0, 5)
        assert [record.offset for record in read(reader, 5)] == [5, 6, 7, 8, 9]
        reader.pause([(topic, 0)])
        publisher.publish_raw(topic, b"k", b"10")
        assert reader.poll(10, 0.5) == []
        reader.resume([(topic, 0)])
        assert [record.offset for record in read(reader, 1)] == [10]


def test_a_poll_does_not_wait_for_more_than_there_is(settings: Settings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with Publisher(settings) as publisher, LogReader(settings) as reader:
        reader.assign({(topic, 0): 0})
        publisher.publish_raw(topic, b"k", b"0")
        assert len(read(reader, 1)) == 1
        publisher.publish_raw(topic, b"k", b"1")
        began = time.monotonic()
        assert len(reader.poll(5_000, 20.0)) == 1
        assert time.monotonic() - began < 10.0


def test_offsets_of_a_group_are_advisory_and_ours_count(
    settings: Settings, admin: KafkaAdmin, make_topic: MakeTopic
) -> None:
    topic, group = make_topic(), f"test.{uuid.uuid4().hex[:8]}"
    asked: list[list[tuple[str, int]]] = []

    def from_three(partitions: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        asked.append(partitions)
        return dict.fromkeys(partitions, 3)

    with Publisher(settings) as publisher:
        publisher.publish_all([(topic, b"k", str(number).encode(), ()) for number in range(5)])
    assert admin.group_offsets(group) == {}
    with LogReader(settings) as reader:
        reader.subscribe([topic], group, on_assigned=from_three)
        assert [record.offset for record in read(reader, 2)] == [3, 4]
        reader.commit({(topic, 0): 5}, wait=True)
    assert asked == [[(topic, 0)]]
    assert admin.group_offsets(group) == {(topic, 0): 5}
    assert group in admin.groups()
    with LogReader(settings) as reader:
        reader.subscribe([topic], group, on_assigned=from_three)
        assert [record.offset for record in read(reader, 2)] == [3, 4]


def test_what_a_callback_raises_poll_raises(settings: Settings, make_topic: MakeTopic) -> None:
    class Mismatch(Exception):
        pass

    def refuse(_: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        raise Mismatch

    topic = make_topic()
    with LogReader(settings) as reader:
        reader.subscribe([topic], f"test.{uuid.uuid4().hex[:8]}", on_assigned=refuse)
        with pytest.raises(Mismatch):
            poll_until_it_raises(reader)


def test_three_members_own_the_same_partition_of_all_topics(
    settings: Settings, make_topic: MakeTopic
) -> None:
    topics = [make_topic(8), make_topic(8), make_topic(8)]
    group = f"test.{uuid.uuid4().hex[:8]}"
    members = [LogReader(settings, client_id=f"member-{number}") for number in range(3)]
    try:
        for member in members:
            member.subscribe(topics, group, on_assigned=lambda partitions: dict.fromkeys(partitions, 0))
        deadline = time.monotonic() + TIMEOUT_S
        owned: list[dict[str, set[int]]] = []
        while time.monotonic() < deadline:
            for member in members:
                member.poll(10, 0.2)
            owned = [
                {topic: {n for name, n in member.assignment() if name == topic} for topic in topics}
                for member in members
            ]
            if all(any(one.values()) for one in owned) and sum(len(one[topics[0]]) for one in owned) == 8:
                break
        assert all(one[topics[0]] == one[topics[1]] == one[topics[2]] != set() for one in owned)
        assert sorted(n for one in owned for n in one[topics[0]]) == list(range(8))
    finally:
        for member in members:
            member.close()


def test_positions_name_their_topic_plainly(installed: Settings) -> None:
    with Publisher(installed) as publisher:
        (position,) = publisher.publish([registered("plain")])
    assert type(position.topic) is str
    assert Position.parse(str(position)) == position
