"""When it is no longer a few aggregates that meet a bug, but the fold that is broken: then the projection stops (DESIGN section 7)."""

from collections import deque
from typing import Final

import msgspec

from projections.runner.errors import FoldFailed


class FloodPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the quarantine; either one stops the projection."""

    aggregates: int = 100
    """In quarantine in the whole generation."""
    run_events: int = 1_000
    """The recent run: so many records, or the batches that hold them."""
    share: float = 0.2
    """Of the recent run's events put aside."""
    least_aggregates: int = 5
    """Fewer aggregates newly at fault in the recent run are no flood, whatever their share."""


DEFAULT_POLICY: Final = FloodPolicy()


class _Batch(msgspec.Struct, frozen=True):
    events: int
    aggregates: int = 0
    queued: int = 0


class Breaker:
    """Counts one worker's recent run of batches. A batch counts once: ``passed`` when it is committed."""

    def __init__(self, policy: FloodPolicy = DEFAULT_POLICY) -> None:
        self.policy: Final = policy
        self._run: deque[_Batch] = deque()
        self._events = 0

    def passed(self, events: int, aggregates: int = 0, queued: int = 0) -> None:
        """A batch of so many records was committed; what of it is at fault or queues."""
        self._run.append(_Batch(events, aggregates, queued))
        self._events += events
        while self._events - self._run[0].events >= self.policy.run_events:
            self._events -= self._run.popleft().events

    def check(self, in_generation: int, events: int, aggregates: int, queued: int, what: str) -> None:
        """Look before a batch with faults is committed. Raises FoldFailed.

        Args:
            in_generation: aggregates in quarantine with this batch's.
            events: records of this batch.
            aggregates: of this batch, newly at fault.
            queued: events of this batch that are put aside.
            what: the first failure, for people.
        """
        policy = self.policy
        newly = aggregates + sum(one.aggregates for one in self._run)
        aside = queued + sum(one.queued for one in self._run)
        share = aside / max(1, events + self._events)
        if in_generation > policy.aggregates:
            why = f"{in_generation} aggregates are in quarantine, more than {policy.aggregates}"
        elif newly >= policy.least_aggregates and share > policy.share:
            why = (
                f"{newly} aggregates, with {share:.0%} of the last {events + self._events} records, "
                f"met a bug (more than {policy.share:.0%})"
            )
        else:
            return
        raise FoldFailed(
            f"the quarantine is flooded: {why}. The first of this batch: {what}",
            remedy="Correct the fold or its writer (nothing of this batch was written or skipped), then start the projector again.",
        )
