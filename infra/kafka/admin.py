"""Administration of the cluster: topics, watermarks, groups. The only module that meets kafka-python."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import kafka
import kafka.errors
import msgspec
from kafka.admin import ConfigResource, ConfigResourceType

from infra.kafka.errors import KafkaError, KafkaUnreachable, topic_missing
from infra.kafka.security import kafka_python_options
from infra.settings import Settings

Partition = tuple[str, int]
"""(topic, partition)."""

_EARLIEST: Final = -2
_LATEST: Final = -1
_RETRY_PAUSE_S: Final = 0.1
_PATIENCE_S: Final = 30.0

T = TypeVar("T")


class Watermarks(msgspec.Struct, frozen=True):
    """``start`` is the first offset still there, ``end`` the next one to be written."""

    start: int
    end: int


class TopicDescription(msgspec.Struct, frozen=True):
    """A topic as the cluster has it. ``settings`` holds every effective value, as text."""

    name: str
    topic_id: bytes
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


class NewTopic(msgspec.Struct, frozen=True):
    """A topic to be made."""

    name: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


class KafkaAdmin:
    """One connection for administration; threads may share it. Calls raise KafkaError with a remedy."""

    def __init__(
        self, settings: Settings, *, client_id: str = "millstream-admin", timeout_s: float = 10.0
    ) -> None:
        bootstrap = settings.require_kafka()
        options = kafka_python_options(settings.kafka_security)
        try:
            self._client: Any = kafka.KafkaAdminClient(
                bootstrap_servers=bootstrap.split(","),
                client_id=client_id,
                bootstrap_timeout_ms=int(timeout_s * 1000),
                **options,
            )
        except kafka.errors.KafkaError as error:
            raise KafkaUnreachable(
                f"Kafka at {bootstrap} does not answer: {error}",
                remedy="see that it runs (millstream stack status), or correct MILLSTREAM_KAFKA_BOOTSTRAP",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def cluster_id(self) -> str:
        """The id that the cluster got when it was formatted."""
        return str(self._call(self._client.describe_cluster)["cluster_id"])

    def brokers(self) -> int:
        """How many brokers there are."""
        return len(self._call(self._client.describe_cluster)["brokers"])

    def topic_id(self, topic: str) -> bytes:
        """The topic's UUID in 16 bytes: another one means that the topic was made anew. Raises TopicMissing."""
        return uuid.UUID(str(self._metadata(topic)["topic_id"])).bytes

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises TopicMissing."""
        return len(self._metadata(topic)["partitions"])

    def watermarks(self, topic: str) -> dict[int, Watermarks]:
        """Start and end of every partition. Raises TopicMissing."""
        places = [kafka.TopicPartition(topic, number) for number in range(self.partitions(topic))]
        starts = self._call(lambda: self._client.list_partition_offsets(dict.fromkeys(places, _EARLIEST)))
        ends = self._call(lambda: self._client.list_partition_offsets(dict.fromkeys(places, _LATEST)))
        return {place.partition: Watermarks(starts[place].offset, ends[place].offset) for place in places}

    def offset_at(self, topic: str, timestamp_ms: int) -> dict[int, int | None]:
        """Per partition the first offset appended at or after this time; None where there is none yet."""
        places = {
            kafka.TopicPartition(topic, number): timestamp_ms for number in range(self.partitions(topic))
        }
        found = self._call(lambda: self._client.list_partition_offsets(places))
        return {place.partition: (item.offset if item.offset >= 0 else None) for place, item in found.items()}

    def topics(self) -> set[str]:
        """Names of all topics that are not internal to Kafka."""
        return {name for name in self._call(self._client.list_topics) if not name.startswith("__")}

    def describe(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        """Those of the topics that exist, with their effective settings."""
        wanted = list(topics)
        found = [
            item
            for item in self._call(lambda: self._client.describe_topics(wanted))
            if not item["error_code"]
        ]
        if not found:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, item["name"]) for item in found]
        settings = self._call(lambda: self._client.describe_configs(resources, config_filter="all"))["topic"]
        return {
            item["name"]: TopicDescription(
                name=item["name"],
                topic_id=uuid.UUID(str(item["topic_id"])).bytes,
                partitions=len(item["partitions"]),
                replication_factor=len(item["partitions"][0]["replica_nodes"]),
                settings={name: str(data["value"]) for name, data in settings[item["name"]].items()},
            )
            for item in found
        }

    def create_topics(self, topics: Iterable[NewTopic]) -> None:
        """Make the topics; those that exist already are left as they are. Returns when each has its leaders."""
        names = [topic.name for topic in topics]
        for topic in topics:
            request = {
                topic.name: {
                    "num_partitions": topic.partitions,
                    "replication_factor": topic.replication_factor,
                    "configs": dict(topic.settings),
                }
            }
            try:
                self._call(lambda request=request: self._client.create_topics(request))  # type: ignore[misc]
            except KafkaError as error:
                if not isinstance(error.__cause__, kafka.errors.TopicAlreadyExistsError):
                    raise
        if names:
            self._call(lambda: self._client.wait_for_topics(names))

    def alter_settings(self, topic: str, settings: Mapping[str, str]) -> None:
        """Set these of the topic's settings, leave the others."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(settings))
        self._call(lambda: self._client.alter_configs([resource]))

    def delete_topics(self, topics: Iterable[str]) -> None:
        """Delete topics with all they hold (tests and tools only)."""
        names = list(topics)
        self._call(lambda: self._client.delete_topics(names))

    def delete_records(self, starts: Mapping[Partition, int]) -> None:
        """Delete what lies before these offsets: each partition's log starts there then (tests and tools only)."""
        wanted = {kafka.TopicPartition(*place): offset for place, offset in starts.items()}
        self._call(lambda: self._client.delete_records(wanted))

    def groups(self) -> set[str]:
        """Names of all consumer groups."""
        return {str(item["group_id"]) for item in self._call(self._client.list_groups)}

    def group_offsets(self, group: str) -> dict[Partition, int]:
        """What the group has committed, as next offsets to read; empty for an unknown group."""
        found = self._call(lambda: self._client.list_group_offsets({group: None}))
        return {
            (place.topic, place.partition): item.offset
            for place, item in found.get(group, {}).items()
            if item.offset >= 0
        }

    def _metadata(self, topic: str) -> dict[str, Any]:
        items = self._call(lambda: self._client.describe_topics([topic]))
        if not items or items[0]["error_code"]:
            raise topic_missing(topic)
        return dict(items[0])

    def _call(self, function: Callable[[], Any]) -> Any:
        """Call, and again while the answer is one that time mends (a coordinator or a leader still being chosen)."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return function()
            except kafka.errors.KafkaError as error:
                if not error.retriable or time.monotonic() > deadline:
                    raise KafkaError(
                        f"Kafka refused: {type(error).__name__}: {error}",
                        remedy="see the broker's log (millstream logs kafka), and this user's rights on the cluster",
                    ) from error
            time.sleep(_RETRY_PAUSE_S)
