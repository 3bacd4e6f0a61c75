"""Publishing: idempotent, acknowledged by all replicas, partitioned like the Java client (DESIGN sections 4 and 6)."""

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import confluent_kafka

from infra.kafka.errors import PublishFailed
from infra.kafka.partitioner import partition_for
from infra.kafka.security import confluent_options
from infra.metrics import EVENTS_PUBLISHED, PUBLISH_FAILURES, PUBLISH_SECONDS
from infra.settings import Settings
from schemas.codec import encode
from schemas.envelope import Event, Headers, Position
from schemas.errors import MillstreamError
from schemas.topics import Topic

__all__ = ["Outgoing", "Publisher", "TopicNotNamed", "partition_for"]

PARTITIONER: Final = "murmur2_random"
_POLL_S: Final = 0.1

Outgoing = tuple[str, bytes | None, bytes | None, Headers]
"""(topic, key, value, headers)."""


class TopicNotNamed(MillstreamError):
    """An event of a type that lives on several topics was published without naming one of them."""


class Publisher:
    """A producer that threads may share. ``publish`` returns when every event is on the log, or raises."""

    def __init__(
        self, settings: Settings, *, client_id: str = "millstream", options: dict[str, Any] | None = None
    ) -> None:
        self._timeout_s = settings.publish_timeout_s
        self._options: dict[str, Any] = {
            "bootstrap.servers": settings.require_kafka(),
            "client.id": client_id,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": PARTITIONER,
            "linger.ms": settings.publish_linger_ms,
            "message.timeout.ms": int(settings.publish_timeout_s * 1000),
            "message.max.bytes": 1_000_000,
            "allow.auto.create.topics": False,
            "topic.metadata.propagation.max.ms": 5_000,  # how long a topic that is not there may still come
            "reconnect.backoff.max.ms": 1_000,
            "log_level": 3,
            "logger": logging.getLogger("confluent_kafka"),
            **confluent_options(settings.kafka_security),
            **(options or {}),
        }
        self._lock = threading.Lock()
        self._producer = confluent_kafka.Producer(self._options)
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._poller.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop. What ``publish`` returned for is on the log already."""
        self._closing.set()
        self._poller.join()
        self._producer.flush(self._timeout_s)

    def publish(self, events: Iterable[Event], topic: Topic | None = None) -> list[Position]:
        """Publish and wait for all acknowledgements; positions in the order of the events.

        Args:
            events: pipelined, each on the topic of its type.
            topic: needed for types that live on several topics.

        Raises:
            TooLarge: before anything was sent.
            TopicNotNamed: before anything was sent.
            PublishFailed: at least one event was not acknowledged; publishing all of them again is safe for
                readers, who absorb repeats.
        """
        outgoing: list[Outgoing] = []
        counts: Counter[str] = Counter()
        for event in events:
            key, value, headers = encode(event)
            outgoing.append((_topic_of(event, topic), key, value, headers))
            counts[event.type.name] += 1
        positions = self.publish_all(outgoing)
        for name, count in counts.items():
            EVENTS_PUBLISHED.labels(name).inc(count)
        return positions

    def publish_raw(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> Position:
        """Put one record on the log unchecked (tools and tests). Raises PublishFailed."""
        return self.publish_all([(topic, key, value, headers)])[0]

    def publish_all(self, outgoing: Sequence[Outgoing]) -> list[Position]:
        """Publish encoded records and wait for all acknowledgements. Raises PublishFailed."""
        if not outgoing:
            return []
        with PUBLISH_SECONDS.time(), PUBLISH_FAILURES.count_exceptions(PublishFailed):
            return self._publish_all(outgoing)

    def _publish_all(self, outgoing: Sequence[Outgoing]) -> list[Position]:
        batch = _Batch(len(outgoing))
        producer = self._producer
        for index, (topic, key, value, headers) in enumerate(outgoing):
            self._produce(producer, batch, index, topic, key, value, headers)
        # A little longer than the broker client itself waits: it reports every record by then.
        if not batch.done.wait(self._timeout_s + 5.0):
            raise PublishFailed(
                f"no word about {batch.missing} of {len(outgoing)} records after {self._timeout_s:.0f} s",
                remedy="see that Kafka runs (millstream stack status), then publish again",
            )
        if batch.failures:
            if batch.fatal:
                self._renew(producer)
            index, reason = batch.failures[0]
            raise PublishFailed(
                f"{len(batch.failures)} of {len(outgoing)} records were not acknowledged; "
                f"the first, for {outgoing[index][0]}: {reason}",
                remedy="see that Kafka runs and the topic exists (millstream topics verify), then publish again",
            )
        return [position for position in batch.positions if position is not None]

    def _produce(
        self,
        producer: confluent_kafka.Producer,
        batch: "_Batch",
        index: int,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> None:
        def on_delivery(error: Any, message: Any) -> None:
            if error is not None:
                batch.fail(index, error)
            else:
                batch.succeed(index, Position(str(topic), message.partition(), message.offset()))

        while True:
            try:
                producer.produce(topic, value=value, key=key, headers=list(headers), on_delivery=on_delivery)
                return
            except BufferError:
                producer.poll(_POLL_S)  # the local queue is full: make room
            except confluent_kafka.KafkaException as error:
                batch.fail(index, error.args[0])
                return

    def _renew(self, producer: confluent_kafka.Producer) -> None:
        """An idempotent producer that lost its place refuses everything from then on: begin a new one."""
        with self._lock:
            if self._producer is producer:
                self._producer = confluent_kafka.Producer(self._options)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_S)


class _Batch:
    """The acknowledgements of one call."""

    def __init__(self, count: int) -> None:
        self.positions: list[Position | None] = [None] * count
        self.failures: list[tuple[int, str]] = []
        self.fatal = False
        self.done = threading.Event()
        self.missing = count
        self._lock = threading.Lock()

    def succeed(self, index: int, position: Position) -> None:
        self.positions[index] = position
        self._count_down()

    def fail(self, index: int, error: Any) -> None:
        self.failures.append((index, str(error.str())))
        self.fatal = self.fatal or error.fatal() or error.code() == confluent_kafka.KafkaError._FATAL
        self._count_down()

    def _count_down(self) -> None:
        with self._lock:
            self.missing -= 1
            if self.missing == 0:
                self.done.set()


def _topic_of(event: Event, topic: Topic | None) -> Topic:
    topics = event.type.topics
    if topic is None and len(topics) == 1:
        return topics[0]
    if topic is not None and topic in topics:
        return topic
    raise TopicNotNamed(
        f"{event.type.name} lives on {' and '.join(topics)}; "
        + (f"{topic} is none of them" if topic else "none was named"),
        remedy="name the topic in the call",
    )
