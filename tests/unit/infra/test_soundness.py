"""What on a cluster could lose events: refused for topics of truth, said of the others."""

from collections.abc import Mapping

import msgspec
import pytest

from infra.kafka.admin import TopicDescription, Watermarks
from infra.soundness import Gravity, findings, require
from infra.topics import TopicUnsound, all_topics
from schemas.topics import Topic

SPECS = all_topics(8)
TRUTH, WORK = Topic.RESULTS.value, Topic.WORK_BACKGROUND.value
BROKERS: Mapping[int, Mapping[str, str]] = {
    1: {"offsets.retention.minutes": "5270400", "log.retention.ms": "-1", "log.retention.hours": "168"}
}


def there(copies: int = 1, **changed: Mapping[str, str]) -> dict[str, TopicDescription]:
    """The list as it has to be, but for settings of the topics named ``truth`` and ``work``."""
    names = {"truth": TRUTH, "work": WORK}
    found: dict[str, TopicDescription] = {}
    for spec in SPECS:
        settings = spec.settings(copies)
        for who, more in changed.items():
            if names[who] == spec.name:
                settings |= more
        found[spec.name] = TopicDescription(
            spec.name, b"0" * 16, spec.partitions, copies, settings, frozenset(settings)
        )
    return found


def test_a_sound_cluster_has_no_findings() -> None:
    assert findings(SPECS, there(), BROKERS, {TRUTH: {0: Watermarks(0, 9)}}) == []
    assert findings(SPECS, there(3), {1: BROKERS[1], 2: BROKERS[1], 3: BROKERS[1]}, {}) == []


@pytest.mark.parametrize(
    ("name", "value", "copies"),
    [
        ("retention.ms", "604800000", 1),
        ("retention.bytes", "1073741824", 1),
        ("cleanup.policy", "compact", 1),
        ("cleanup.policy", "compact,delete", 1),
        ("message.timestamp.type", "CreateTime", 1),
        ("min.insync.replicas", "1", 3),
        ("unclean.leader.election.enable", "true", 3),
    ],
)
def test_a_topic_of_truth_that_could_lose_events_is_refused(name: str, value: str, copies: int) -> None:
    (found,) = findings(SPECS, there(copies, truth={name: value}), {}, {})
    assert (found.topic, found.name, found.value, found.gravity) == (TRUTH, name, value, Gravity.REFUSED)
    assert "events could be lost" in found.words
    with pytest.raises(TopicUnsound, match=name) as caught:
        require([found])
    assert caught.value.remedy == "millstream topics apply"


@pytest.mark.parametrize("name", ["retention.ms", "retention.bytes", "cleanup.policy"])
def test_a_setting_that_only_the_brokers_default_holds_is_warned_of(name: str) -> None:
    topics = there()
    topics[TRUTH] = msgspec.structs.replace(topics[TRUTH], own=topics[TRUTH].own - {name})
    (found,) = findings(SPECS, topics, {}, {})
    assert (found.gravity, found.name) == (Gravity.WARNING, name)
    assert "broker's defaults alone" in found.words
    require([found])


@pytest.mark.parametrize(
    ("name", "value"), [("retention.ms", "1000"), ("cleanup.policy", "compact"), ("retention.bytes", "1")]
)
def test_a_topic_that_may_expire_is_warned_of_and_stops_nobody(name: str, value: str) -> None:
    (found,) = findings(SPECS, there(work={name: value}), {}, {})
    assert (found.topic, found.gravity) == (WORK, Gravity.WARNING)
    require([found])


def test_a_longer_retention_of_work_and_more_replicas_in_sync_lose_nothing() -> None:
    longer = {"retention.ms": "-1"}
    assert findings(SPECS, there(work=longer), {}, {}) == []
    assert findings(SPECS, there(3, truth={"min.insync.replicas": "3"}), {}, {}) == []
    assert findings(SPECS, there(1, truth={"unclean.leader.election.enable": "true"}), {}, {}) == []


def test_a_topic_of_truth_whose_head_is_gone_is_warned_of() -> None:
    (found,) = findings(SPECS, there(), {}, {TRUTH: {0: Watermarks(0, 9), 3: Watermarks(5, 9)}})
    assert found.gravity is Gravity.WARNING
    assert f"{TRUTH}/3 begins at 5" in found.words
    assert findings(SPECS, there(), {}, {WORK: {3: Watermarks(5, 9)}}) == []


def test_brokers_that_forget_offsets_or_let_topics_expire_are_told_of() -> None:
    brokers = {1: {"offsets.retention.minutes": "10080", "log.retention.hours": "168"}}
    warning, note = findings(SPECS, there(), brokers, {})
    assert (warning.gravity, warning.name) == (Gravity.WARNING, "offsets.retention.minutes")
    assert "7 days" in warning.words
    assert (note.gravity, note.name) == (Gravity.NOTE, "log.retention")


def test_one_copy_on_many_brokers_is_warned_of() -> None:
    found = findings(SPECS, there(1), dict.fromkeys((1, 2, 3), BROKERS[1]), {})
    assert {one.name for one in found} == {"replication"}
    assert len(found) == len(SPECS)


def test_the_gravest_comes_first_and_the_others_are_counted() -> None:
    topics = there(truth={"retention.ms": "1"}, work={"retention.ms": "1"})
    del topics[Topic.INSIGHTS.value]
    found = findings(SPECS, topics, {}, {})
    assert [one.gravity for one in found] == [Gravity.REFUSED, Gravity.REFUSED, Gravity.WARNING]
    with pytest.raises(TopicUnsound, match=r"does not exist \(1 more: millstream topics check\)"):
        require(found)
