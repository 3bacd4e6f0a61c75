"""When it is no longer a few records that are put aside, but most: then the projection stops (DESIGN section 7)."""

from collections import deque
from typing import Final

import msgspec

from projections.runner.errors import FoldFailed


class FloodPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the quarantine and of dead letters; any one stops the projection."""

    aggregates: int = 100
    """In quarantine in the whole generation."""
    run_events: int = 1_000
    """The recent run: so many records, or the batches that hold them."""
    share: float = 0.2
    """Of the recent run's events put aside."""
    least_aggregates: int = 5
    """Fewer aggregates newly at fault in the recent run are no flood, whatever their share."""
    letters: int = 10_000
    """Dead letters in the whole generation."""
    letters_share: float = 0.5
    """Of the recent run's records that are no events."""
    least_letters: int = 500
    """Fewer in the recent run are no flood."""


DEFAULT_POLICY: Final = FloodPolicy()


class _Batch(msgspec.Struct, frozen=True):
    events: int
    aggregates: int = 0
    queued: int = 0
    letters: int = 0


class Breaker:
    """Counts one worker's recent run of batches. A batch counts once: ``passed`` when it is committed."""

    def __init__(self, policy: FloodPolicy = DEFAULT_POLICY) -> None:
        self.policy: Final = policy
        self._run: deque[_Batch] = deque()
        self._events = 0

    def passed(self, events: int, aggregates: int = 0, queued: int = 0, letters: int = 0) -> None:
        """A batch of so many records was committed; what of it is at fault, queues, or is a dead letter."""
        self._run.append(_Batch(events, aggregates, queued, letters))
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

    def check_letters(self, in_generation: int, records: int, letters: int, what: str) -> None:
        """Look before a batch with dead letters is committed. Raises FoldFailed.

        Args:
            in_generation: dead letters in the generation with this batch's.
            records: of this batch.
            letters: of this batch.
            what: the first one, for people.
        """
        policy = self.policy
        recent = letters + sum(one.letters for one in self._run)
        share = recent / max(1, records + self._events)
        if in_generation > policy.letters:
            why = f"{in_generation} are kept, more than {policy.letters}"
        elif recent >= policy.least_letters and share > policy.letters_share:
            why = f"{recent} of the last {records + self._events} records (more than {policy.letters_share:.0%})"
        else:
            return
        raise FoldFailed(
            f"the log is flooded with records that are no events: {why}. The first of this batch: {what}",
            remedy="Stop whoever publishes them; then order that they are left out (millstream dead-letters drop-flood NAME"
            " --reason ...; dead-letters drop for those that are kept), and start the projector again.",
        )
