"""A lag report as metrics: the names of kafka-lag-exporter (also Conduktor's and klag-exporter's), so that dashboards fit. Pure.

Labels ``group``, ``topic``, ``partition`` and who holds it; sums leave out what was never committed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from infra.metrics import Family
from projections.lag.model import GroupReport, LagReport, PartitionReport
from projections.lag.states import State
from projections.rebuild.machine import OPEN
from projections.rebuild.store import Rebuild

_OF_PARTITION: Final = (
    "cluster_name",
    "group",
    "topic",
    "partition",
    "member_host",
    "consumer_id",
    "client_id",
)
_OF_GROUP: Final = ("cluster_name", "group")
_OF_TOPIC: Final = ("cluster_name", "topic", "partition")
_Values = Callable[[GroupReport, PartitionReport], float | None]


def families(report: LagReport, cluster: str) -> Iterator[Family]:
    """Everything that is told of groups and partitions. ``cluster`` is Kafka's id of itself."""
    groups = report.groups
    yield _partitions(
        groups, cluster, "offset", "Next offset that the group reads.", lambda _, one: one.next_offset
    )
    yield _partitions(
        groups,
        cluster,
        "lag",
        "Records that wait.",
        lambda _, one: None if one.next_offset is None else one.records,
    )
    yield _partitions(
        groups,
        cluster,
        "lag_seconds",
        "Time since the append of the next record to read; 0: caught up.",
        lambda _, one: None if one.next_offset is None else one.seconds,
    )
    yield _groups(groups, cluster, "max_lag", "Records that wait in the worst partition.", _max_lag)
    yield _groups(
        groups, cluster, "max_lag_seconds", "Age of the oldest record that waits.", lambda one: one.seconds
    )
    yield _groups(groups, cluster, "sum_lag", "Records that wait.", lambda one: one.records)
    yield _topic_sums(groups, cluster)
    yield from _watermarks(groups, cluster)
    yield _states(groups, cluster)
    yield _info(groups, cluster)
    yield _groups(groups, cluster, "members", "Members of the group.", lambda one: one.members)
    yield _groups(groups, cluster, "rate", "Records read per second.", lambda one: one.rate)
    yield _groups(
        groups, cluster, "slope", "Records per second by which the lag grows.", lambda one: one.slope
    )
    yield _groups(
        groups,
        cluster,
        "eta_seconds",
        "Until nothing waits at this pace, by the slowest partition; absent: never, or not known.",
        lambda one: one.eta_s,
    )
    yield _groups(
        groups,
        cluster,
        "headroom_seconds",
        "Until the oldest unread record may be deleted; absent: never, or nothing waits.",
        lambda one: one.expires_in_s,
    )
    yield _groups(
        groups,
        cluster,
        "lost_records",
        "Records before the start of the log that the group was to read next.",
        lambda one: one.lost_records,
    )


def health(report: LagReport, *, fresh: bool) -> Iterator[Family]:
    """How the sampling itself does."""
    yield _one("kafka_lag_exporter_up", "Whether the last look succeeded and is fresh.", float(fresh))
    yield _one("kafka_lag_exporter_scrape_duration_seconds", "Time that the last look took.", report.took_s)
    yield _one(
        "kafka_lag_exporter_last_update_timestamp_seconds",
        "When somebody last looked.",
        report.sampled_at.timestamp(),
    )
    canary = report.canary
    if canary.latency_s is not None:
        yield _one(
            "millstream_canary_last_seconds", "Latency of the newest canary that was seen.", canary.latency_s
        )
    yield _one(
        "millstream_canary_waiting_seconds",
        "For how long a canary has been sent and not seen; 0: none is.",
        canary.waiting_s or 0.0,
    )


def of_rebuilds(rebuilds: Iterable[Rebuild]) -> Iterator[Family]:
    """Progress of the rebuilds that are open."""
    labels = ("projection", "generation")
    open_ = [one for one in rebuilds if one.state in OPEN]
    yield Family(
        name="millstream_rebuild_events",
        help="Events folded by an open rebuild.",
        labels=labels,
        samples=tuple(((one.projection, str(one.generation)), float(one.events)) for one in open_),
    )
    yield Family(
        name="millstream_rebuild_progress_ratio",
        help="Share of an open rebuild's events that is folded.",
        labels=labels,
        samples=tuple(
            ((one.projection, str(one.generation)), one.events / one.of_all if one.of_all else 0.0)
            for one in open_
        ),
    )
    yield Family(
        name="millstream_rebuild_eta_seconds",
        help="Until an open rebuild has folded everything; absent: not known.",
        labels=labels,
        samples=tuple(
            ((one.projection, str(one.generation)), one.eta_s) for one in open_ if one.eta_s is not None
        ),
    )


def of_letters(waiting: Iterable[tuple[str, int, int]]) -> Iterator[Family]:
    """(projection, dead letters, events in quarantine) as they stand in the live generations."""
    rows = tuple(waiting)
    yield Family(
        name="millstream_dead_letters_waiting",
        help="Records that are no events and that nobody has decided about.",
        labels=("projection",),
        samples=tuple(((name,), float(letters)) for name, letters, _ in rows),
    )
    yield Family(
        name="millstream_quarantine_waiting",
        help="Events that wait because the fold failed at their aggregate.",
        labels=("projection",),
        samples=tuple(((name,), float(events)) for name, _, events in rows),
    )


def _one(name: str, words: str, value: float) -> Family:
    return Family(name=name, help=words, samples=(((), value),))


def _partitions(groups: Iterable[GroupReport], cluster: str, name: str, words: str, value: _Values) -> Family:
    samples: list[tuple[tuple[str, ...], float]] = []
    for group in groups:
        for one in group.partitions:
            found = value(group, one)
            if found is None:
                continue
            who = ("", "", "")
            if one.member is not None:
                who = (one.member.host, one.member.member_id, one.member.client_id)
            samples.append(((cluster, group.group, one.topic, str(one.partition), *who), float(found)))
    return Family(
        name=f"kafka_consumergroup_group_{name}", help=words, labels=_OF_PARTITION, samples=tuple(samples)
    )


def _groups(
    groups: Iterable[GroupReport],
    cluster: str,
    name: str,
    words: str,
    value: Callable[[GroupReport], float | None],
) -> Family:
    return Family(
        name=f"kafka_consumergroup_group_{name}",
        help=words,
        labels=_OF_GROUP,
        samples=tuple(
            ((cluster, one.group), float(found)) for one in groups if (found := value(one)) is not None
        ),
    )


def _max_lag(group: GroupReport) -> float:
    return max((one.records for one in group.partitions if one.next_offset is not None), default=0)


def _topic_sums(groups: Iterable[GroupReport], cluster: str) -> Family:
    samples: list[tuple[tuple[str, ...], float]] = []
    for group in groups:
        sums: Counter[str] = Counter()
        for one in group.partitions:
            if one.next_offset is not None:
                sums[one.topic] += one.records
        samples += [((cluster, group.group, topic), float(sum_)) for topic, sum_ in sorted(sums.items())]
    return Family(
        name="kafka_consumergroup_group_topic_sum_lag",
        help="Records that wait, by topic.",
        labels=("cluster_name", "group", "topic"),
        samples=tuple(samples),
    )


def _watermarks(groups: Iterable[GroupReport], cluster: str) -> Iterator[Family]:
    marks = {(one.topic, one.partition): (one.start, one.end) for group in groups for one in group.partitions}
    for place, name, words in (
        (1, "latest", "Next offset to be written."),
        (0, "earliest", "First offset that is still there."),
    ):
        yield Family(
            name=f"kafka_partition_{name}_offset",
            help=words,
            labels=_OF_TOPIC,
            samples=tuple(
                ((cluster, topic, str(number)), float(at[place]))
                for (topic, number), at in sorted(marks.items())
            ),
        )


def _states(groups: Iterable[GroupReport], cluster: str) -> Family:
    return Family(
        name="kafka_consumergroup_group_state",
        help="1 for the state that the group is in, 0 for all others.",
        labels=(*_OF_GROUP, "state"),
        samples=tuple(
            ((cluster, one.group, state.value), float(one.state is state))
            for one in groups
            for state in State
        ),
    )


def _info(groups: Iterable[GroupReport], cluster: str) -> Family:
    """So that dashboards can leave out older generations of the same projection."""
    return Family(
        name="kafka_consumergroup_group_info",
        help="Always 1: whose group it is, and whether it is the one that counts.",
        labels=(*_OF_GROUP, "kind", "group_base_name", "group_version", "group_is_latest"),
        samples=tuple(
            (
                (
                    cluster,
                    one.group,
                    one.kind.value,
                    one.name,
                    "" if one.generation is None else str(one.generation),
                    str(one.latest).lower(),
                ),
                1.0,
            )
            for one in groups
        ),
    )
