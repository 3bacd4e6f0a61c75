"""The one list of topics (DESIGN section 4), and what makes the cluster agree with it. Workers never create a topic."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from infra.kafka.admin import NewTopic, TopicDescription
from schemas.errors import MustStop
from schemas.topics import Topic

FOR_EVER_MS: Final = -1
DAY_MS: Final = 24 * 60 * 60 * 1000
_HOUR_MS: Final = 60 * 60 * 1000

_EXPIRY: Final = frozenset(("retention.ms", "retention.bytes", "cleanup.policy"))
"""Settings that a topic has to hold itself: a broker's default may be changed by somebody who knows nothing of it."""

HANDS_APP: Final = "millstream-hands"
"""The Faust app for all that touches a clone."""
HEADS_APP: Final = "millstream-heads"
"""The Faust app for planner, dispatcher and senders."""
PROJECTION_GROUPS: Final = "millstream.projection."
"""How the names of all projections' groups begin: their offsets are advice, the checkpoint rows decide."""


def leader_topic(app_id: str) -> str:
    """The topic by which a Faust app elects its leader: without it ``on_leader`` timers silently never fire."""
    return f"{app_id}-__assignor-__leader"


class TopicUnsound(MustStop):
    """A topic is not as the list says, in a way that could lose events or their order."""


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a topic has to be. ``retention_ms`` is -1 for ever; ``guarded`` topics have rules of legality."""

    name: str
    partitions: int
    key: str
    holds: str
    retention_ms: int = FOR_EVER_MS
    guarded: bool = False

    @property
    def is_truth(self) -> bool:
        """Whether projections are rebuilt from it, so that nothing on it may ever expire."""
        return self.retention_ms == FOR_EVER_MS

    def settings(self, replication_factor: int) -> dict[str, str]:
        """The settings of the topic on a cluster, as text."""
        found = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": "1048588",
            "min.insync.replicas": str(max(1, replication_factor - 1)),
            "unclean.leader.election.enable": "false",
        }
        if not self.is_truth:
            found["segment.ms"] = str(_HOUR_MS)  # only closed segments expire
        return found


def all_topics(partitions: int) -> tuple[TopicSpec, ...]:
    """Every topic of this build; ``partitions`` is that of the topics keyed by repository."""

    def topic(
        name: str,
        key: str,
        holds: str,
        *,
        of: int = partitions,
        retention_ms: int = FOR_EVER_MS,
        guarded: bool = False,
    ) -> TopicSpec:
        return TopicSpec(
            name=name, partitions=of, key=key, holds=holds, retention_ms=retention_ms, guarded=guarded
        )

    return (
        topic(
            Topic.REPOSITORIES,
            "repository",
            "registered, updated, renamed, removed; pushed, refresh_requested, clone_failed",
            guarded=True,
        ),
        topic(
            Topic.INSIGHTS,
            "insight",
            "insights, the plans of their backfills, and what people decided about them",
            of=1,
            guarded=True,
        ),
        topic(Topic.RECORDINGS, "repository", "recording.requested: what is asked for"),
        topic(
            Topic.WORK_INTERACTIVE,
            "repository",
            "recording.dispatched: being done now, someone waits",
            retention_ms=DAY_MS,
        ),
        topic(
            Topic.WORK_BACKGROUND, "repository", "recording.dispatched: being done now", retention_ms=DAY_MS
        ),
        topic(Topic.RESULTS, "repository", "search.completed, search.failed"),
        topic(
            Topic.SETTINGS, "entity", "site settings that change while everything runs", of=1, guarded=True
        ),
        topic(
            Topic.OPERATIONS,
            "projection",
            "operators' decisions: redrive, drop, rebuild, swap",
            of=1,
            guarded=True,
        ),
        topic(Topic.CANARY, "none", "canary.sent: shows how long an event takes", of=1, retention_ms=DAY_MS),
        topic(Topic.COMMITS, "repository", "commits.indexed: new commits, and where the refs stand"),
        topic(
            Topic.UPLOADS,
            "repository",
            "upload.state_changed, upload.indexed, upload.published",
            guarded=True,
        ),
        topic(
            Topic.ACCOUNTS,
            "entity",
            "users, organisations and their members, hashes of tokens",
            of=1,
            guarded=True,
        ),
        topic(
            Topic.MONITORS,
            "monitor",
            "monitor.created, updated, toggled, deleted, run_requested, action_disabled",
            of=1,
            guarded=True,
        ),
        topic(
            Topic.TRIGGERS,
            "monitor",
            "trigger.fired, evaluated, pruned; action.requested, succeeded, failed",
        ),
        topic(
            leader_topic(HANDS_APP),
            "none",
            "nothing: elects the leader of the hands",
            of=1,
            retention_ms=DAY_MS,
        ),
        topic(
            leader_topic(HEADS_APP),
            "none",
            "nothing: elects the leader of the heads",
            of=1,
            retention_ms=DAY_MS,
        ),
    )


class Difference(StrEnum):
    """In what a topic differs from the list."""

    MISSING = "missing"
    SETTING = "setting"
    PARTITIONS = "partitions"


class TopicChange(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between cluster and list. ``before`` is empty for a topic that is not there."""

    topic: str
    difference: Difference
    name: str
    before: str
    after: str

    @property
    def repairable(self) -> bool:
        """Whether ``apply`` can mend it. A partition count is never changed: keys would move."""
        return self.difference is not Difference.PARTITIONS


class Administration(Protocol):
    """What this module needs of a cluster's administration."""

    def brokers(self) -> int: ...
    def describe(self, topics: Sequence[str]) -> dict[str, TopicDescription]: ...
    def create_topics(self, topics: Sequence[NewTopic]) -> None: ...
    def alter_settings(self, topic: str, settings: Mapping[str, str]) -> None: ...


def verify(admin: Administration, specs: Sequence[TopicSpec]) -> list[TopicChange]:
    """Every difference between the cluster and the list; none is made."""
    found = admin.describe([spec.name for spec in specs])
    changes: list[TopicChange] = []
    for spec in specs:
        there = found.get(spec.name)
        if there is None:
            shown = f"{spec.partitions} partitions, retention {spec.retention_ms} ms"
            changes.append(
                TopicChange(
                    topic=spec.name, difference=Difference.MISSING, name="topic", before="", after=shown
                )
            )
            continue
        if there.partitions != spec.partitions:
            changes.append(
                TopicChange(
                    topic=spec.name,
                    difference=Difference.PARTITIONS,
                    name="partitions",
                    before=str(there.partitions),
                    after=str(spec.partitions),
                )
            )
        for name, wanted in spec.settings(there.replication_factor).items():
            before = there.settings.get(name, "")
            if before == wanted and name in _EXPIRY and name not in there.own:
                before = f"{before} (the broker's)"
            if before != wanted:
                changes.append(
                    TopicChange(
                        topic=spec.name, difference=Difference.SETTING, name=name, before=before, after=wanted
                    )
                )
    return changes


def apply(
    admin: Administration, specs: Sequence[TopicSpec], replication_factor: int | None = None
) -> list[TopicChange]:
    """Create what is missing and repair settings; what was changed. A second call changes nothing.

    Args:
        admin: the cluster.
        specs: the list.
        replication_factor: copies of new topics; None: 3, or the number of brokers when there are fewer.

    Raises:
        TopicUnsound: a topic has another number of partitions; nothing was changed then.
    """
    changes = verify(admin, specs)
    for change in changes:
        if not change.repairable:
            raise _wrong_partitions(change)
    missing = {change.topic for change in changes if change.difference is Difference.MISSING}
    if missing:
        copies = replication_factor or min(3, admin.brokers())
        admin.create_topics(
            [
                NewTopic(spec.name, spec.partitions, copies, spec.settings(copies))
                for spec in specs
                if spec.name in missing
            ]
        )
    repairs: dict[str, dict[str, str]] = {}
    for change in changes:
        if change.difference is Difference.SETTING:
            repairs.setdefault(change.topic, {})[change.name] = change.after
    for name, settings in repairs.items():
        admin.alter_settings(name, settings)
    return changes


def _wrong_partitions(change: TopicChange) -> TopicUnsound:
    return TopicUnsound(
        f"{change.topic} has {change.before} partitions, this installation was made with {change.after}: "
        "the count is never changed in place, since keys would move and their order be lost",
        remedy="point MILLSTREAM_KAFKA_BOOTSTRAP at the cluster of this installation, or begin a new one with empty topics",
    )
