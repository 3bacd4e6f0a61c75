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
from kafka.structs import OffsetAndMetadata

from infra.kafka.errors import GroupBusy, KafkaError, KafkaUnreachable, topic_missing
from infra.kafka.security import kafka_python_options
from infra.settings import Settings

Partition = tuple[str, int]
"""(topic, partition)."""

_EARLIEST: Final = -2
_LATEST: Final = -1
_OF_TOPIC: Final = "DYNAMIC_TOPIC_CONFIG"
_HAS_MEMBERS: Final = frozenset(
    (
        "UnknownMemberIdError",
        "RebalanceInProgressError",
        "IllegalGenerationError",
        "NonEmptyGroupError",
        "StaleMemberEpochError",
        "FencedInstanceIdError",
    )
)
"""How a coordinator refuses an offset that no member commits, when there are members."""
_RETRY_PAUSE_S: Final = 0.1
_PATIENCE_S: Final = 30.0

T = TypeVar("T")


class Watermarks(msgspec.Struct, frozen=True):
    """``start`` is the first offset still there, ``end`` the next one to be written."""

    start: int
    end: int


class TopicDescription(msgspec.Struct, frozen=True):
    """A topic as the cluster has it. ``settings`` holds every effective value, as text; ``own`` names those that the topic
    itself holds, so that a broker's defaults do not change them."""

    name: str
    topic_id: bytes
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]
    own: frozenset[str] = frozenset()


class NewTopic(msgspec.Struct, frozen=True):
    """A topic to be made."""

    name: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


class GroupMember(msgspec.Struct, frozen=True, kw_only=True):
    """A live member of a consumer group, and what is assigned to it."""

    member_id: str
    client_id: str
    host: str
    partitions: tuple[Partition, ...]


class GroupDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer group as its coordinator has it. ``state`` is Kafka's word: Stable, Empty, Dead, ...

    ``members`` is empty, too, where the coordinator does not tell them to this client (groups of the new protocol).
    """

    group: str
    state: str
    members: tuple[GroupMember, ...] = ()

    @property
    def is_read(self) -> bool:
        """Whether anybody is in the group."""
        return bool(self.members) or self.state not in ("Empty", "Dead")


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

    def all_watermarks(self, topics: Iterable[str]) -> dict[Partition, Watermarks]:
        """Start and end of every partition of those of the topics that exist, in three calls."""
        wanted = sorted(set(topics))
        if not wanted:
            return {}
        places = [
            kafka.TopicPartition(item["name"], part["partition_index"])
            for item in self._call(lambda: self._client.describe_topics(wanted))
            if not item["error_code"]
            for part in item["partitions"]
        ]
        if not places:
            return {}
        starts = self._call(lambda: self._client.list_partition_offsets(dict.fromkeys(places, _EARLIEST)))
        ends = self._call(lambda: self._client.list_partition_offsets(dict.fromkeys(places, _LATEST)))
        return {tuple(place): Watermarks(starts[place].offset, ends[place].offset) for place in places}

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
                own=frozenset(
                    name
                    for name, data in settings[item["name"]].items()
                    if data["config_source"] == _OF_TOPIC
                ),
            )
            for item in found
        }

    def broker_settings(self) -> dict[int, dict[str, str]]:
        """What every broker goes by, as text. Settings without a value are left out."""
        numbers = [int(item["broker_id"]) for item in self._call(self._client.describe_cluster)["brokers"]]
        resources = [ConfigResource(ConfigResourceType.BROKER, str(number)) for number in numbers]
        found = self._call(lambda: self._client.describe_configs(resources, config_filter="all"))["broker"]
        return {
            number: {
                name: str(data["value"])
                for name, data in found.get(str(number), {}).items()
                if data["value"] is not None
            }
            for number in numbers
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

    def describe_groups(self) -> dict[str, GroupDescription]:
        """Every consumer group by name, with its members."""
        listed = {
            str(item["group_id"]): str(item["group_state"]) for item in self._call(self._client.list_groups)
        }
        if not listed:
            return {}
        told = self._call(lambda: self._client.describe_groups(sorted(listed)))
        return {
            group: GroupDescription(
                group=group,
                state=state,
                members=tuple(_member(item) for item in told.get(group, {}).get("members", ())),
            )
            for group, state in listed.items()
        }

    def offsets_of_groups(self, groups: Iterable[str]) -> dict[str, dict[Partition, int]]:
        """What each group has committed, as next offsets to read, in one call."""
        wanted = dict.fromkeys(sorted(groups))
        if not wanted:
            return {}
        found = self._call(lambda: self._client.list_group_offsets(wanted))
        return {
            group: {tuple(place): item.offset for place, item in offsets.items() if item.offset >= 0}
            for group, offsets in found.items()
        }

    def group_offsets(self, group: str) -> dict[Partition, int]:
        """What the group has committed, as next offsets to read; empty for an unknown group."""
        found = self._call(lambda: self._client.list_group_offsets({group: None}))
        return {
            (place.topic, place.partition): item.offset
            for place, item in found.get(group, {}).items()
            if item.offset >= 0
        }

    def set_group_offsets(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Commit these next offsets for a group that nobody is in.

        Raises GroupBusy when the coordinator says that somebody is (nothing is changed then), KafkaError.
        """
        wanted = {
            kafka.TopicPartition(*place): OffsetAndMetadata(offset, "", -1)
            for place, offset in offsets.items()
        }

        def committed() -> Mapping[Any, type[kafka.errors.KafkaError]]:
            answers: Mapping[Any, type[kafka.errors.KafkaError]] = self._client.alter_group_offsets(
                group, wanted
            )
            for error in answers.values():
                if error.retriable and error.__name__ not in _HAS_MEMBERS:
                    raise error(f"the offsets of {group}")
            return answers

        told = self._call(committed)
        for place, error in told.items():
            name = error.__name__
            if name in _HAS_MEMBERS:
                raise GroupBusy(
                    f"the group {group} has become live: the broker refused the offset of {place.topic}/{place.partition} ({name})",
                    remedy="stop its members (millstream groups describe names them), then try again",
                )
            if name != "NoError":
                raise KafkaError(
                    f"the broker refused the offset of {place.topic}/{place.partition} for the group {group}: {name}",
                    remedy="see the broker's log (millstream logs kafka), and this user's rights on the group",
                )

    def delete_groups(self, groups: Iterable[str]) -> list[str]:
        """Delete these groups with what they have committed; those that stay because somebody is in them. Raises KafkaError."""
        wanted = sorted(groups)
        if not wanted:
            return []
        told: Mapping[str, str] = self._call(lambda: self._client.delete_groups(wanted))
        left: list[str] = []
        for group, said in told.items():
            if said == "NonEmptyGroupError":
                left.append(group)
            elif said not in ("OK", "GroupIdNotFoundError"):
                raise KafkaError(
                    f"the broker refused to delete the group {group}: {said}",
                    remedy="see this user's rights on the group",
                )
        return left

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


def _member(item: Mapping[str, Any]) -> GroupMember:
    assigned = (item.get("member_assignment") or {}).get("assigned_partitions", ())
    return GroupMember(
        member_id=str(item["member_id"]),
        client_id=str(item["client_id"]),
        host=str(item["client_host"]).lstrip("/"),
        partitions=tuple((part["topic"], number) for part in assigned for number in part["partitions"]),
    )
