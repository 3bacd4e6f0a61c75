"""Which events of a batch meet a bug: found by trying shorter and shorter runs of it, each rolled back. Pure but for the trials.

An aggregate is cut off at the first of its events that fails; what came before is folded. So the rows do not depend on how the log
was cut into batches.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from projections.folding import Folding
from projections.runner.errors import FoldFailed
from schemas.envelope import Record

Aggregate = tuple[str, int, bytes]
"""(topic, partition, record key)."""
Try = Callable[[Sequence[Folding]], Exception | None]
"""Folds and writes these and takes it back; what went wrong because of an event. Raises everything else."""
MAX_REASON_CHARACTERS: Final = 1_000


class Read(msgspec.Struct, frozen=True):
    """One event of a batch as it was read."""

    record: Record
    folding: Folding

    @property
    def aggregate(self) -> Aggregate:
        return aggregate_of(self.record)


class Queued(msgspec.Struct, frozen=True):
    """An event that is not folded: at fault (``error`` says why), or ``behind`` the one of its aggregate that is."""

    read: Read
    error: Exception | None
    behind: int | None


class Split(msgspec.Struct, frozen=True):
    """A batch in two parts, each in its order."""

    kept: list[Folding]
    queued: list[Queued]


def aggregate_of(record: Record) -> Aggregate:
    """The aggregate that an event's record belongs to."""
    return record.topic, record.partition, record.key or b""


def isolate(
    reads: Sequence[Read],
    held: Mapping[Aggregate, int],
    attempt: Try,
    found: Callable[[Sequence[Queued]], None],
) -> Split:
    """Split a batch into what can be written and what is at fault or queues behind it.

    Args:
        reads: the events, in their order.
        held: aggregates in quarantine already, with the offset at fault.
        attempt: tried with ever fewer events.
        found: told everything that is queued, whenever another event at fault was found; may raise to stop.

    Raises:
        FoldFailed: even nothing at all cannot be written.
    """
    queued = [Queued(one, None, behind) for one in reads if (behind := held.get(one.aggregate)) is not None]
    kept = [one for one in reads if one.aggregate not in held]
    works = 0
    while (failure := _first_failure(kept, works, attempt)) is not None:
        works, error = failure
        culprit = kept[works]
        rest = [one for one in kept[works + 1 :] if one.aggregate == culprit.aggregate]
        queued.append(Queued(culprit, error, None))
        queued += [Queued(one, None, culprit.record.offset) for one in rest]
        kept = kept[:works] + [one for one in kept[works:] if one.aggregate != culprit.aggregate]
        found(queued)
    queued.sort(key=lambda one: one.read.record.position)
    return Split([one.folding for one in kept], queued)


def _first_failure(kept: Sequence[Read], works: int, attempt: Try) -> tuple[int, Exception] | None:
    """The place of the first event with which the run from the start fails, and how; ``kept[:works]`` is known to work."""

    def tried(number: int) -> Exception | None:
        return attempt([one.folding for one in kept[:number]])

    error = tried(len(kept))
    if error is None:
        return None
    if works == 0 and (nothing := tried(0)) is not None:
        raise FoldFailed(
            f"the rows could not be written although no event was to be folded: {nothing!r}",
            remedy="The generation's tables are not what this build expects: see the reason.",
        ) from nothing
    low, high, step = works, len(kept), 1
    while high - low > 1:  # in growing steps first: where one event is at fault, the next often is
        middle = min(low + step, (low + high + 1) // 2)
        failed = tried(middle)
        if failed is None:
            low, step = middle, step * 2
        else:
            high, error = middle, failed
    return low, error


def described(error: Exception) -> str:
    """An error in one bounded line."""
    cause = error.__cause__ if error.__cause__ is not None else error
    return f"{type(cause).__name__}: {cause}".replace("\n", " ")[:MAX_REASON_CHARACTERS]


def offsets_at_fault(queued: Iterable[Queued]) -> dict[Aggregate, int]:
    """Aggregates that are new in quarantine, with the offset at fault."""
    return {one.read.aggregate: one.read.record.offset for one in queued if one.behind is None}
