"""How a reader of the log does, told from a window of samples of one partition. Pure: time is in the samples.

No thresholds on lag: what counts is whether a reader moves while something waits for it. After Burrow's rules, with what people
found wrong in them mended: nothing is ever wrong at lag 0, tiny lag is never a warning, the window is one of time and not of
commits, and the samples are taken on a timer and not when somebody commits.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final

import msgspec

from schemas.errors import MillstreamError


class State(StrEnum):
    """What is to be thought of a reader, the best first."""

    OK = "OK"
    EMPTY = "EMPTY"
    """It has never committed anything: it has read nothing yet, or keeps its offsets elsewhere."""
    REPLAYING = "REPLAYING"
    """It is being rebuilt: lag, and going back, are meant."""
    UNKNOWN = "UNKNOWN"
    """Something waits, and nobody has looked long enough to tell."""
    WARN = "WARN"
    """It moves, and falls behind; or what it has still to read is about to expire."""
    STALL = "STALL"
    """Somebody reads, and nothing moves."""
    STOP = "STOP"
    """Nobody reads, or the reader gave up."""
    REWIND = "REWIND"
    """It went back, and nobody had said that it would."""
    NEEDS_UPGRADE = "NEEDS_UPGRADE"
    LOG_TRUNCATED = "LOG_TRUNCATED"
    """What it was to read next has been deleted."""
    LOG_MISMATCH = "LOG_MISMATCH"
    """The log is not the one that it has read."""


SEVERITY: Final[Mapping[State, int]] = {state: rank for rank, state in enumerate(State)}
ALARMS: Final = frozenset(
    (
        State.STALL,
        State.STOP,
        State.REWIND,
        State.NEEDS_UPGRADE,
        State.LOG_TRUNCATED,
        State.LOG_MISMATCH,
    )
)
"""States in which somebody has to do something."""


class PolicyRefused(MillstreamError):
    """A policy by which some state could never be told."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What is waited for before anything is called wrong. Times in seconds, by the samples' own clock.

    ``window_s``: how far back samples are looked at. Lag below ``floor_records`` *or* below ``floor_s`` is no WARN.
    ``stall_after_s``, ``stop_after_s``: nothing has moved for so long, with somebody in the group or nobody. ``expiring_share``:
    of the retention time, left to the oldest unread record. ``interval_s``: from one look to the next, about.

    Raises PolicyRefused where the window is too short to show that nothing has moved for so long.
    """

    window_s: float = 90.0
    floor_records: int = 100
    floor_s: float = 10.0
    stall_after_s: float = 60.0
    stop_after_s: float = 30.0
    expiring_share: float = 0.2
    interval_s: float = 5.0

    def __post_init__(self) -> None:
        least_s = self._longest_s + _LOOKS_MORE * self.interval_s
        if self.window_s <= least_s:
            raise PolicyRefused(
                f"a window of {self.window_s:g} s: the oldest look in it may be younger than what is waited for, "
                f"{self._longest_s:g} s, with looks every {self.interval_s:g} s",
                remedy=f"Let window_s be more than {least_s:g} s.",
            )

    @property
    def _longest_s(self) -> float:
        return max(self.stall_after_s, self.stop_after_s)

    def looked_at_every(self, interval_s: float) -> "Policy":
        """The same for looks that are so far apart: with a longer window where it has to be."""
        window_s = max(self.window_s, self._longest_s + (_LOOKS_MORE + 1) * interval_s)
        return msgspec.structs.replace(self, window_s=window_s, interval_s=max(self.interval_s, interval_s))


_LOOKS_MORE: Final = 2
"""In the window, beyond what is waited for: looks take time themselves, and one may be late."""
PROJECTION_POLICY: Final = Policy()
"""Projections move many times a second while anything waits."""
AGENT_POLICY: Final = Policy(window_s=330.0, floor_s=30.0, stall_after_s=300.0, stop_after_s=60.0)
"""Agents acknowledge when the work is done, which takes minutes for a big repository."""
FOREIGN_POLICY: Final = AGENT_POLICY
"""Others commit when they like, often once a minute."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of one reader at one moment.

    ``at_s``: when, in seconds since 1970. ``next_offset``: the next to read; None: nothing was ever committed. ``start``, ``end``:
    the log's, read after it. ``appended_s``: when the record at ``next_offset`` was appended; None: none is there, or it was not
    read in time. ``readers``: members of the group; None: not known. ``declared``: the reader's own word about itself, with its
    reason in ``words``. ``replaying``: why lag is meant; empty: it is not. ``outdated``: that another build made it, and what to do
    about it, to be said with whatever is found; empty: it is this build's. ``retention_s``: None: for ever.
    """

    at_s: float
    next_offset: int | None
    start: int
    end: int
    appended_s: float | None = None
    readers: int | None = None
    declared: State | None = None
    words: str = ""
    replaying: str = ""
    outdated: str = ""
    retention_s: float | None = None

    @property
    def records(self) -> int:
        """Records that wait, those that have been deleted unread among them."""
        return max(0, self.end - (self.start if self.next_offset is None else self.next_offset))

    @property
    def seconds(self) -> float | None:
        """How long the oldest record has waited; 0 when none waits; None when that is not known."""
        if self.records == 0:
            return 0.0
        return None if self.appended_s is None else max(0.0, self.at_s - self.appended_s)

    @property
    def expires_in_s(self) -> float | None:
        """Until the oldest unread record may be deleted; None: never, or nothing waits, or its age is not known."""
        if self.retention_s is None or self.appended_s is None or self.records == 0:
            return None
        return self.appended_s + self.retention_s - self.at_s


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """A state, and in words what led to it."""

    state: State
    reason: str


def evaluate(window: Sequence[Sample], policy: Policy) -> Evaluated:
    """The state of one partition. ``window`` is in order of time, the newest last; samples older than the policy's window do not count."""
    if not window:
        return _said(State.UNKNOWN, "nobody has looked at it yet")
    now = window[-1]
    found = _judged([one for one in window if now.at_s - one.at_s <= policy.window_s], policy)
    return _said(found.state, f"{found.reason}; {now.outdated}") if now.outdated else found


def _judged(seen: Sequence[Sample], policy: Policy) -> Evaluated:
    for rule in (_declared, _never_read, _another_log, _went_back, _nothing_waits, _nothing_moves):
        found = rule(seen, policy)
        if found is not None:
            return found
    return _falls_behind(seen, policy)


def worst(states: Iterable[tuple[str, Evaluated]]) -> Evaluated:
    """The state of a whole group: that of its worst partition; ``states`` are pairs of a place and what was found there."""
    found = list(states)
    if not found:
        return _said(State.EMPTY, "it has committed nothing")
    if all(one.state is State.EMPTY for _, one in found):
        return found[0][1]
    place, top = max(found, key=lambda pair: SEVERITY[pair[1].state])
    if top.state is State.EMPTY or SEVERITY[top.state] == 0:
        return _best(found)
    alike = sum(one.state is top.state for _, one in found) - 1
    others = f" (and {alike} more alike)" if alike else ""
    return _said(top.state, f"{place}: {top.reason}{others}" if place else top.reason)


def _best(found: Sequence[tuple[str, Evaluated]]) -> Evaluated:
    """Of partitions that are all well: the words of one that has something to say."""
    well = [one for _, one in found if one.state is State.OK]
    return next((one for one in well if one.reason != _CAUGHT_UP), well[0])


_CAUGHT_UP: Final = "caught up"


def _declared(seen: Sequence[Sample], policy: Policy) -> Evaluated | None:
    now = seen[-1]
    if now.declared is not None:
        return _said(now.declared, now.words)
    return _said(State.REPLAYING, now.replaying) if now.replaying else None


def _never_read(seen: Sequence[Sample], policy: Policy) -> Evaluated | None:
    now = seen[-1]
    if now.next_offset is not None:
        return None
    waiting = f"; {_records(now.records)} on the log" if now.records else ", and nothing is on the log"
    return _said(State.EMPTY, (now.words or "nothing was ever committed") + waiting)


def _another_log(seen: Sequence[Sample], policy: Policy) -> Evaluated | None:
    now = seen[-1]
    if now.next_offset is None:
        return None
    if now.next_offset > now.end:
        return _said(
            State.LOG_MISMATCH,
            f"{now.next_offset:,} was to be read next, and the log ends at {now.end:,}: the topic was made anew or cut",
        )
    if now.next_offset < now.start:
        return _said(
            State.LOG_TRUNCATED,
            f"{now.next_offset:,} was to be read next, and the log starts at {now.start:,}: "
            f"{_records(now.start - now.next_offset)} deleted unread",
        )
    return None


def _went_back(seen: Sequence[Sample], policy: Policy) -> Evaluated | None:
    for before, after in pairwise(reversed(seen)):  # before is the newer one here
        if before.next_offset is None or after.next_offset is None or after.replaying:
            continue
        if before.next_offset < after.next_offset:
            ago_s = seen[-1].at_s - before.at_s
            return _said(
                State.REWIND,
                f"went back from {after.next_offset:,} to {before.next_offset:,}, {_ago(ago_s)}, and no rebuild was declared",
            )
    return None


def _nothing_waits(seen: Sequence[Sample], policy: Policy) -> Evaluated | None:
    now = seen[-1]
    if now.records:
        return None
    return _said(State.OK, _CAUGHT_UP if now.readers != 0 else f"{_CAUGHT_UP}; nobody reads")


def _nothing_moves(seen: Sequence[Sample], policy: Policy) -> Evaluated | None:
    now = seen[-1]
    still = [now]
    for one in reversed(seen[:-1]):
        if one.next_offset != now.next_offset or one.records == 0:
            break
        still.append(one)
    still_s = now.at_s - still[-1].at_s
    if len(still) < len(seen) and still_s < min(policy.stall_after_s, policy.stop_after_s):
        return None
    waited = f"{_records(now.records)}{_waiting(now)}"
    if now.readers == 0:
        # One look is enough where nobody is there to move: only a restart has to be told from it, and that takes seconds.
        gone = now.seconds is not None and now.seconds >= policy.stop_after_s
        if still_s >= policy.stop_after_s or (len(still) == len(seen) and gone):
            return _said(State.STOP, f"nobody reads (the group has no member), and {waited}")
    elif still_s >= policy.stall_after_s:
        who = "somebody reads" if now.readers is None else _members(now.readers)
        return _said(State.STALL, f"{who}, and nothing has moved for {_span(still_s)}; {waited}")
    if len(still) < len(seen):
        return None
    if now.seconds is not None and now.seconds < policy.stop_after_s:
        return None
    return _said(
        State.UNKNOWN, f"{waited}; looked at for {_span(still_s)} only, too short to tell whether it moves"
    )


def _falls_behind(seen: Sequence[Sample], policy: Policy) -> Evaluated:
    now, first = seen[-1], seen[0]
    waited = f"{_records(now.records)}{_waiting(now)}"
    left_s = now.expires_in_s
    if (
        left_s is not None
        and now.retention_s is not None
        and left_s < policy.expiring_share * now.retention_s
    ):
        return _said(State.WARN, f"the oldest of {waited} expires in {_span(max(0.0, left_s))}")
    tiny = now.records < policy.floor_records or (now.seconds is not None and now.seconds < policy.floor_s)
    if tiny:
        return _said(State.OK, waited)
    if now.at_s - first.at_s < policy.window_s / 2 or len(seen) < _QUARTERS:
        return _said(
            State.UNKNOWN,
            f"{waited}; looked at for {_span(now.at_s - first.at_s)} only, too short for a trend",
        )
    lows = _lowest_of_quarters(seen)
    if all(earlier < later for earlier, later in pairwise(lows)):
        over = _span(now.at_s - first.at_s)
        return _said(
            State.WARN,
            f"falls behind: {waited}; at least {lows[0]:,} at first, {lows[-1]:,} at last within {over}",
        )
    return _said(State.OK, f"{waited}, and not falling behind")


_QUARTERS: Final = 4


def _lowest_of_quarters(seen: Sequence[Sample]) -> list[int]:
    """The least lag of each quarter of the window: what grows in all four is not the noise of batches."""
    first_s, span_s = seen[0].at_s, seen[-1].at_s - seen[0].at_s
    lows: list[int | None] = [None] * _QUARTERS
    for one in seen:
        quarter = min(_QUARTERS - 1, int((one.at_s - first_s) / span_s * _QUARTERS))
        low = lows[quarter]
        lows[quarter] = one.records if low is None else min(low, one.records)
    return [low for low in lows if low is not None]


def _said(state: State, reason: str) -> Evaluated:
    return Evaluated(state=state, reason=reason)


def _records(number: int) -> str:
    return f"{number:,} record{'' if number == 1 else 's'}"


def _members(number: int) -> str:
    return f"{number} member{'' if number == 1 else 's'} in the group"


def _waiting(sample: Sample) -> str:
    seconds = sample.seconds
    return " wait" if seconds is None else f" wait, the oldest for {_span(seconds)}"


def _ago(seconds: float) -> str:
    return "just now" if seconds < 1 else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 2 * 3_600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} days"
