"""What is told about readers of the log: groups, their partitions, and the canary. Plain data, kept and sent as JSON."""

from datetime import datetime
from enum import StrEnum

import msgspec

from projections.lag.states import State


class Kind(StrEnum):
    """Whose group it is."""

    PROJECTION = "projection"
    AGENTS = "agents"
    FOREIGN = "foreign"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A live member of a group."""

    member_id: str
    client_id: str
    host: str


class WindowPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One sample of what led to a state."""

    at: datetime
    next_offset: int | None
    end: int
    records: int


class PartitionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of one group.

    ``seconds``: since the append of the next record to read; 0: caught up; None: not known. ``rate``, ``arrival``: records per
    second read and written over the window. ``eta_s``: until nothing waits, if both stay as they are; None: never, or not known.
    ``expires_in_s``: until the oldest unread record may be deleted; None: never, or nothing waits. ``headroom_records``: records
    between the start of a log that expires and the next one to read; None: it does not expire.
    """

    topic: str
    partition: int
    state: State
    reason: str
    next_offset: int | None
    start: int
    end: int
    records: int
    seconds: float | None
    appended_at: datetime | None
    rate: float | None
    arrival: float | None
    eta_s: float | None
    expires_in_s: float | None
    headroom_records: int | None
    member: Member | None = None


class GroupReport(msgspec.Struct, frozen=True, kw_only=True):
    """One group. Sums over its partitions but for ``seconds``, ``eta_s`` and the headroom, which are those of the worst.

    ``seconds`` is None as soon as one partition's is not known: it may be the worst, and ``reason`` says so.
    ``name`` is the projection's or the group's own; ``latest``: not an older generation kept beside the live one. ``slope``:
    records per second by which the lag grows. ``window``: the samples of the partition that decided the state, oldest first.
    """

    group: str
    kind: Kind
    name: str
    generation: int | None = None
    latest: bool = True
    state: State
    reason: str
    records: int
    seconds: float | None
    rate: float | None
    arrival: float | None
    slope: float | None
    eta_s: float | None
    expires_in_s: float | None
    headroom_records: int | None
    members: int | None
    lost_records: int = 0
    """Deleted before the group had read them, as far as they are still before it."""
    partitions: tuple[PartitionReport, ...] = ()
    worst: str = ""
    """``topic/partition`` that decided the state."""
    window: tuple[WindowPoint, ...] = ()


class CanaryReport(msgspec.Struct, frozen=True, kw_only=True):
    """The event that is sent to see how long one takes: from the call of publish until a reader sees its row.

    ``waiting_s``: for how long one has been sent and not seen (None: none is). ``reason`` says why there is no fresh latency.
    """

    sent_at: datetime | None = None
    latency_s: float | None = None
    waiting_s: float | None = None
    reason: str = ""


class LagReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment. ``took_s``: how long it took to look; ``problems``: what could not be looked at, in words."""

    sampled_at: datetime
    sampled_by: str
    took_s: float
    groups: tuple[GroupReport, ...]
    canary: CanaryReport = CanaryReport()
    problems: tuple[str, ...] = ()


class HistoryPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A group as it was some time in the last hour."""

    at: datetime
    records: int
    seconds: float | None
    state: State
