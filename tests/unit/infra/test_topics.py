"""The list of topics, and which differences are mended, refused or dangerous."""

from collections.abc import Mapping, Sequence

import pytest

from infra.kafka.admin import NewTopic, TopicDescription
from infra.soundness import findings, require
from infra.topics import (
    DAY_MS,
    FOR_EVER_MS,
    HANDS_APP,
    HEADS_APP,
    Difference,
    TopicSpec,
    TopicUnsound,
    all_topics,
    apply,
    leader_topic,
    verify,
)
from schemas.events import REGISTRY
from schemas.topics import KEYED_BY_REPOSITORY, Topic


def require_sound(cluster: "Cluster", specs: Sequence[TopicSpec]) -> None:
    require(findings(specs, cluster.describe([spec.name for spec in specs]), {}, {}))


def test_every_topic_stands_once_and_none_is_missing() -> None:
    names = [spec.name for spec in all_topics(8)]
    assert len(names) == len(set(names))
    assert set(names) >= {topic.value for topic in Topic}


class Cluster:
    """A cluster's topics in memory, behaving as the real administration does (which integration tests use)."""

    def __init__(self, brokers: int = 1) -> None:
        self.topics: dict[str, TopicDescription] = {}
        self._brokers = brokers

    def brokers(self) -> int:
        return self._brokers

    def describe(self, topics: Sequence[str]) -> dict[str, TopicDescription]:
        return {name: self.topics[name] for name in topics if name in self.topics}

    def create_topics(self, topics: Sequence[NewTopic]) -> None:
        for topic in topics:
            self.put(topic.name, topic.partitions, topic.settings, topic.replication_factor)

    def alter_settings(self, topic: str, settings: Mapping[str, str]) -> None:
        there = self.topics[topic]
        self.put(topic, there.partitions, {**there.settings, **settings}, there.replication_factor)

    def put(self, name: str, partitions: int, settings: Mapping[str, str], copies: int = 1) -> None:
        self.topics[name] = TopicDescription(
            name, b"0" * 16, partitions, copies, dict(settings), frozenset(settings)
        )


SPECS = all_topics(8)
BY_NAME = {spec.name: spec for spec in SPECS}


def test_every_topic_of_the_registry_is_in_the_list() -> None:
    assert {topic for event_type in REGISTRY for topic in event_type.topics} <= set(BY_NAME)
    assert set(Topic) <= set(BY_NAME)


def test_topics_keyed_by_repository_have_one_partition_count() -> None:
    assert {spec.partitions for spec in SPECS if spec.key == "repository"} == {8}
    assert {spec.name for spec in SPECS if spec.key == "repository"} == {*KEYED_BY_REPOSITORY}
    assert BY_NAME[Topic.INSIGHTS].partitions == 1
    assert BY_NAME[leader_topic(HANDS_APP)].partitions == BY_NAME[leader_topic(HEADS_APP)].partitions == 1
    assert leader_topic(HANDS_APP) == "millstream-hands-__assignor-__leader"


def test_truth_never_expires_and_work_does() -> None:
    expiring = {spec.name for spec in SPECS if spec.retention_ms != FOR_EVER_MS}
    assert expiring == {
        Topic.WORK_INTERACTIVE,
        Topic.WORK_BACKGROUND,
        Topic.CANARY,
        leader_topic(HANDS_APP),
        leader_topic(HEADS_APP),
    }
    assert {BY_NAME[name].retention_ms for name in expiring} == {DAY_MS}
    for spec in SPECS:
        settings = spec.settings(3)
        assert settings["cleanup.policy"] == "delete"
        assert settings["retention.bytes"] == "-1"
        assert settings["message.timestamp.type"] == "LogAppendTime"
        assert settings["min.insync.replicas"] == "2"


def test_apply_makes_what_is_missing_once() -> None:
    cluster = Cluster(brokers=5)
    changes = apply(cluster, SPECS)
    assert {change.topic for change in changes} == set(BY_NAME)
    assert {change.difference for change in changes} == {Difference.MISSING}
    assert {topic.replication_factor for topic in cluster.topics.values()} == {3}
    assert apply(cluster, SPECS) == []
    require_sound(cluster, SPECS)


def test_apply_repairs_settings_and_says_before_and_after() -> None:
    cluster = Cluster()
    apply(cluster, SPECS)
    cluster.alter_settings(Topic.RESULTS, {"retention.ms": "604800000", "unrelated": "kept"})
    with pytest.raises(TopicUnsound, match=r"millstream\.results has retention\.ms=604800000"):
        require_sound(cluster, SPECS)
    (change,) = apply(cluster, SPECS)
    assert (change.topic, change.name, change.before, change.after) == (
        Topic.RESULTS,
        "retention.ms",
        "604800000",
        "-1",
    )
    assert cluster.topics[Topic.RESULTS].settings["unrelated"] == "kept"
    require_sound(cluster, SPECS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "1"),
        ("retention.bytes", "1000"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("message.timestamp.type", "CreateTime"),
    ],
)
def test_truth_that_could_be_lost_stops_a_process(name: str, value: str) -> None:
    cluster = Cluster()
    apply(cluster, SPECS)
    cluster.alter_settings(Topic.INSIGHTS, {name: value})
    with pytest.raises(TopicUnsound, match=r"millstream\.insights"):
        require_sound(cluster, SPECS)


def test_another_retention_of_work_stops_nobody() -> None:
    cluster = Cluster()
    apply(cluster, SPECS)
    cluster.alter_settings(Topic.WORK_BACKGROUND, {"retention.ms": "1000"})
    require_sound(cluster, SPECS)
    assert [change.name for change in verify(cluster, SPECS)] == ["retention.ms"]


def test_another_partition_count_is_refused_before_anything_is_changed() -> None:
    cluster = Cluster()
    apply(cluster, SPECS)
    cluster.put(Topic.RESULTS, 9, BY_NAME[Topic.RESULTS].settings(1))
    del cluster.topics[Topic.INSIGHTS]
    with pytest.raises(TopicUnsound, match="9 partitions"):
        apply(cluster, SPECS)
    assert Topic.INSIGHTS not in cluster.topics
    with pytest.raises(TopicUnsound):
        require_sound(cluster, SPECS)


def test_a_missing_topic_stops_a_process() -> None:
    cluster = Cluster()
    apply(cluster, SPECS)
    del cluster.topics[leader_topic(HEADS_APP)]
    with pytest.raises(TopicUnsound, match="does not exist") as caught:
        require_sound(cluster, SPECS)
    assert caught.value.remedy == "millstream topics apply"
