"""Reading the log fast, with the caller in charge of offsets. Offsets always mean "next to read"."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import confluent_kafka
from confluent_kafka import Consumer, Message, TopicPartition

from infra.kafka.errors import OffsetOutOfRange, ReadFailed, topic_missing
from infra.kafka.security import confluent_options
from infra.settings import Settings
from schemas.envelope import Headers, Record

Partition = tuple[str, int]
"""(topic, partition)."""
OnAssigned = Callable[[list[Partition]], Mapping[Partition, int] | None]
"""Told which partitions came; answers with the next offset of each (None: the group's committed ones)."""
OnRevoked = Callable[[list[Partition]], None]
"""Told which partitions went, whether given back or lost."""

_MISSING: Final = (
    confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART,
    confluent_kafka.KafkaError._UNKNOWN_TOPIC,
    confluent_kafka.KafkaError._UNKNOWN_PARTITION,
)
_READ_ONE_TIMEOUT_S: Final = 30.0


class LogReader:
    """A consumer for one thread. Call ``subscribe`` (a member of a group) or ``assign`` (alone), then ``poll``."""

    def __init__(
        self, settings: Settings, *, client_id: str = "millstream", options: Mapping[str, Any] | None = None
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._options = dict(options or {})
        self._consumer: Consumer | None = None
        self._single: Consumer | None = None
        self._missing: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def subscribe(
        self,
        topics: Collection[str],
        group: str,
        *,
        instance_id: str | None = None,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> None:
        """Join a group. Partition n of all topics comes together (range assignor).

        Args:
            topics: names.
            group: the consumer group.
            instance_id: makes the membership static; two holders of one id at once would both work, so it has
                to be a slot that is held exclusively.
            on_assigned: called inside ``poll``; what it raises, ``poll`` raises.
            on_revoked: likewise.
        """
        self._close_main()
        options = {"group.id": group} | ({"group.instance.id": instance_id} if instance_id else {})
        consumer = self._consumer = self._new(options)

        def assigned(_: Consumer, places: list[TopicPartition]) -> None:
            partitions = [(place.topic, place.partition) for place in places]
            starts = on_assigned(partitions) if on_assigned is not None else None
            if starts is None:
                consumer.assign(places)
            else:
                consumer.assign(
                    [TopicPartition(topic, number, starts[topic, number]) for topic, number in partitions]
                )

        def revoked(_: Consumer, places: list[TopicPartition]) -> None:
            if on_revoked is not None:
                on_revoked([(place.topic, place.partition) for place in places])

        consumer.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def assign(self, next_offsets: Mapping[Partition, int]) -> None:
        """Read exactly these partitions from these offsets, in no group."""
        if self._consumer is None:
            self._consumer = self._new({"group.id": "millstream.unused"})
        self._consumer.assign(
            [TopicPartition(topic, number, offset) for (topic, number), offset in next_offsets.items()]
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """What has come, at most ``max_records``; waits up to ``timeout_s`` for the first record only.

        Raises:
            OffsetOutOfRange: the log does not hold the next offset.
            TopicMissing: a topic is not there.
            ReadFailed: another error that time does not mend.
        """
        consumer = self._reader()
        first = consumer.poll(timeout_s)
        if first is None:
            self._raise_if_missing()
            return []
        # consume() waits until it has all that was asked for: take what is there, do not wait for more.
        messages = [first, *consumer.consume(max_records - 1, 0)] if max_records > 1 else [first]
        return _records(messages)

    def seek(self, topic: str, partition: int, next_offset: int) -> None:
        """Go on reading an assigned partition from here."""
        self._reader().seek(TopicPartition(topic, partition, next_offset))

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Deliver nothing of these until ``resume``; the membership lives on through ``poll``."""
        self._reader().pause([TopicPartition(topic, number) for topic, number in partitions])

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Deliver these again."""
        self._reader().resume([TopicPartition(topic, number) for topic, number in partitions])

    def assignment(self) -> list[Partition]:
        """What is assigned now."""
        return [(place.topic, place.partition) for place in self._reader().assignment()]

    def commit(self, next_offsets: Mapping[Partition, int], *, wait: bool = False) -> None:
        """Tell the group where we are: advisory. Raises ReadFailed when waiting for an answer that is an error."""
        offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in next_offsets.items()]
        if not offsets:
            return
        try:
            if wait:
                self._reader().commit(offsets=offsets, asynchronous=False)
            else:
                self._reader().commit(offsets=offsets, asynchronous=True)
        except confluent_kafka.KafkaException as error:
            raise ReadFailed(f"the offsets were not committed: {error.args[0].str()}") from error

    def read_one(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at this very offset; None when the log does not hold it (expired, or not yet written).

        Raises TopicMissing; ReadFailed when nothing answers within 30 s.
        """
        if self._single is None:
            # Without the limit a broker's whole next megabyte would come along for one record.
            self._single = self._new(
                {
                    "group.id": "millstream.unused",
                    "enable.partition.eof": True,
                    "fetch.message.max.bytes": 65_536,
                }
            )
        consumer = self._single
        consumer.assign([TopicPartition(topic, partition, offset)])
        try:
            deadline = time.monotonic() + _READ_ONE_TIMEOUT_S
            while time.monotonic() < deadline:
                message = consumer.poll(1.0)
                if message is None:
                    self._raise_if_missing()
                    continue
                error = message.error()
                if error is None:
                    record = _record(message)
                    return record if record.offset == offset else None
                if error.code() in (
                    confluent_kafka.KafkaError._PARTITION_EOF,
                    confluent_kafka.KafkaError._AUTO_OFFSET_RESET,
                ):
                    return None
                _raise_unless_passing(message)
        finally:
            consumer.unassign()
        raise ReadFailed(
            f"no answer about {topic}/{partition}@{offset}",
            remedy="see that Kafka runs (millstream stack status)",
        )

    def close(self) -> None:
        """Leave the group (a static member stays in it until its session ends) and let go of everything."""
        self._close_main()
        if self._single is not None:
            self._single.close()
            self._single = None

    def _close_main(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _reader(self) -> Consumer:
        if self._consumer is None:
            raise ReadFailed("nothing is subscribed or assigned", remedy="call subscribe or assign first")
        return self._consumer

    def _on_error(self, error: Any) -> None:
        """That an assigned partition is not there is told here alone, not among the records."""
        if error.code() in _MISSING:
            self._missing = str(error.str()).split(" ", 1)[0]

    def _raise_if_missing(self) -> None:
        missing, self._missing = self._missing, None
        if missing is not None:
            raise topic_missing(missing)

    def _new(self, options: Mapping[str, Any]) -> Consumer:
        settings = self._settings
        return Consumer(
            {
                "bootstrap.servers": settings.require_kafka(),
                "client.id": self._client_id,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "partition.assignment.strategy": "range",
                "session.timeout.ms": settings.kafka_session_timeout_ms,
                "heartbeat.interval.ms": min(3_000, settings.kafka_session_timeout_ms // 3),
                "allow.auto.create.topics": False,
                "topic.metadata.propagation.max.ms": 5_000,  # how long a topic that is not there may still come
                "check.crcs": True,
                "queued.min.messages": 20_000,
                "queued.max.messages.kbytes": 16_384,  # of each consumer: about a second of reading
                "fetch.queue.backoff.ms": 10,  # default 1000: a full queue would pause the fetcher for a second
                "reconnect.backoff.max.ms": 1_000,
                "log_level": 3,
                "error_cb": self._on_error,
                "logger": logging.getLogger("confluent_kafka"),
                **confluent_options(settings.kafka_security),
                **options,
                **self._options,
            }
        )


def _records(messages: list[Message]) -> list[Record]:
    records: list[Record] = []
    append = records.append
    for message in messages:
        if message.error() is None:
            append(_record(message))
        else:
            _raise_unless_passing(message)
    return records


def _record(message: Message) -> Record:
    headers: Any = message.headers()
    return Record(
        message.topic(),  # type: ignore[arg-type]
        message.partition(),  # type: ignore[arg-type]
        message.offset(),  # type: ignore[arg-type]
        message.timestamp()[1],
        message.key(),
        message.value(),
        _headers(headers) if headers else (),
    )


def _headers(headers: list[tuple[str, bytes | None]]) -> Headers:
    """Kafka allows a header without a value: for us that is an empty one."""
    for _, value in headers:
        if value is None:
            return tuple((name, value or b"") for name, value in headers)
    return tuple(headers)  # type: ignore[arg-type]


def _raise_unless_passing(message: Message) -> None:
    error: Any = message.error()
    place = f"{message.topic()}/{message.partition()}"
    if error.code() == confluent_kafka.KafkaError._AUTO_OFFSET_RESET:
        raise OffsetOutOfRange(
            f"{place} does not hold the next offset to read: {error.str()}",
            remedy="if the log was replaced or cut, rebuild what reads it",
        )
    if error.code() in _MISSING:
        raise topic_missing(str(message.topic()))
    if not error.retriable() and error.code() not in (
        confluent_kafka.KafkaError._PARTITION_EOF,
        confluent_kafka.KafkaError._ALL_BROKERS_DOWN,
        confluent_kafka.KafkaError._TRANSPORT,
        confluent_kafka.KafkaError._MAX_POLL_EXCEEDED,
    ):
        raise ReadFailed(
            f"{place} cannot be read: {error.str()}", remedy="see the broker's log (millstream logs kafka)"
        )
