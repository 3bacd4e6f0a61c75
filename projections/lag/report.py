"""From samples to a report: each partition judged and reckoned, and its group by the worst of them. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from projections.lag.model import CanaryReport, GroupReport, Kind, LagReport, PartitionReport, WindowPoint
from projections.lag.observe import Observed, Reading
from projections.lag.states import (
    AGENT_POLICY,
    FOREIGN_POLICY,
    PROJECTION_POLICY,
    SEVERITY,
    Evaluated,
    Policy,
    Sample,
    evaluate,
    worst,
)
from projections.lag.trend import Trend, slowest_eta_s, trend

Policies = Mapping[Kind, Policy]
POLICIES: Final[Policies] = {
    Kind.PROJECTION: PROJECTION_POLICY,
    Kind.AGENTS: AGENT_POLICY,
    Kind.FOREIGN: FOREIGN_POLICY,
}


def policies_for(interval_s: float, policies: Policies = POLICIES) -> Policies:
    """``policies`` for looks that are ``interval_s`` apart."""
    return {kind: policy.looked_at_every(interval_s) for kind, policy in policies.items()}


MOST_POINTS: Final = 24
"""Of the window that led to a state."""
_Place = tuple[str, str, int]


class Windows:
    """The latest samples of every partition of every group: what the states are told from."""

    def __init__(self, policies: Policies = POLICIES) -> None:
        self.policies = policies
        self._kept: dict[_Place, deque[Sample]] = {}

    def add(self, observed: Observed) -> None:
        """Remember a look; forget what is older than any window, and groups that are gone."""
        longest_s = max(policy.window_s for policy in self.policies.values())
        for place, sample in observed.samples.items():
            kept = self._kept.setdefault(place, deque())
            if kept and sample.at_s <= kept[-1].at_s:
                kept.clear()  # the clock was set back
            kept.append(sample)
            while sample.at_s - kept[0].at_s > longest_s:
                kept.popleft()
        for place in self._kept.keys() - observed.samples.keys():
            del self._kept[place]

    def of(self, place: _Place) -> Sequence[Sample]:
        """Oldest first."""
        return list(self._kept.get(place, ()))


def report(
    observed: Observed,
    windows: Windows,
    *,
    by: str,
    took_s: float,
    canary: CanaryReport = CanaryReport(),  # noqa: B008
) -> LagReport:
    """What is told of one look, which ``windows`` has been given already."""
    return LagReport(
        sampled_at=_time(observed.at_s),
        sampled_by=by,
        took_s=took_s,
        groups=tuple(_group(one, observed, windows) for one in observed.readings),
        canary=canary,
    )


def _group(reading: Reading, observed: Observed, windows: Windows) -> GroupReport:
    policy = windows.policies[reading.kind]
    partitions: list[PartitionReport] = []
    trends: list[Trend | None] = []
    found: list[tuple[str, Evaluated]] = []
    for topic, number in sorted(reading.offsets):
        window = windows.of((reading.group, topic, number))
        state, of = evaluate(window, policy), trend(window, policy.window_s)
        partitions.append(_partition(topic, number, observed, reading, state, of))
        trends.append(of)
        found.append((f"{topic}/{number}", state))
    whole = worst(found)
    if not found and reading.words:
        whole = Evaluated(state=whole.state, reason=reading.words)
    place = max(
        partitions, key=lambda one: (SEVERITY[one.state], one.seconds or 0.0, one.records), default=None
    )
    moving = [one for one in trends if one is not None]
    counted = [one for one in partitions if _counts(reading, one)]
    known = [one.seconds for one in counted if one.seconds is not None]
    unknown = len(counted) - len(known)
    return GroupReport(
        group=reading.group,
        kind=reading.kind,
        name=reading.name,
        generation=reading.generation,
        latest=reading.latest,
        state=whole.state,
        reason=f"{whole.reason}; {_not_known(unknown)}" if unknown else whole.reason,
        records=sum(one.records for one in counted),
        seconds=None if unknown else max(known, default=0.0),
        rate=sum(one.rate for one in moving) if moving else None,
        arrival=sum(one.arrival for one in moving) if moving else None,
        slope=sum(one.slope for one in moving) if moving else None,
        eta_s=slowest_eta_s(zip((one.records for one in partitions), trends, strict=True)),
        expires_in_s=min(
            (one.expires_in_s for one in partitions if one.expires_in_s is not None), default=None
        ),
        headroom_records=min(
            (one.headroom_records for one in partitions if one.headroom_records is not None), default=None
        ),
        members=reading.readers,
        lost_records=sum(
            max(0, one.start - one.next_offset) for one in partitions if one.next_offset is not None
        ),
        partitions=tuple(partitions),
        worst=f"{place.topic}/{place.partition}" if place is not None else "",
        window=_window(windows.of((reading.group, place.topic, place.partition)))
        if place is not None
        else (),
    )


def _not_known(partitions: int) -> str:
    """Its seconds would be those of the others, which may be far ahead of it."""
    return f"for how long is not known of {partitions} partition{'' if partitions == 1 else 's'}"


def _counts(reading: Reading, one: PartitionReport) -> bool:
    """What was never committed counts for projections alone: they begin at the start, others begin where they like."""
    return one.next_offset is not None or reading.kind is Kind.PROJECTION


def _partition(
    topic: str, number: int, observed: Observed, reading: Reading, state: Evaluated, of: Trend | None
) -> PartitionReport:
    sample = observed.samples[reading.group, topic, number]
    return PartitionReport(
        topic=topic,
        partition=number,
        state=state.state,
        reason=state.reason,
        next_offset=sample.next_offset,
        start=sample.start,
        end=sample.end,
        records=sample.records,
        seconds=sample.seconds,
        appended_at=None if sample.appended_s is None else _time(sample.appended_s),
        rate=of.rate if of is not None else None,
        arrival=of.arrival if of is not None else None,
        eta_s=of.eta_s if of is not None else (0.0 if sample.records == 0 else None),
        expires_in_s=sample.expires_in_s,
        headroom_records=(
            None
            if sample.retention_s is None or sample.next_offset is None
            else sample.next_offset - sample.start
        ),
        member=reading.members.get((topic, number)),
    )


def _window(samples: Sequence[Sample]) -> tuple[WindowPoint, ...]:
    """At most ``MOST_POINTS``, evenly, the newest among them."""
    step = -(-len(samples) // MOST_POINTS) or 1
    chosen = list(reversed(samples))[::step]
    return tuple(
        WindowPoint(at=_time(one.at_s), next_offset=one.next_offset, end=one.end, records=one.records)
        for one in reversed(chosen)
    )


def _time(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
