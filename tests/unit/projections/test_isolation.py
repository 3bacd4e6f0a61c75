"""Finding the events at fault: exactly those aggregates, from exactly that event on, in few trials, whatever the cut."""

from collections.abc import Sequence

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors

from infra.postgres.errors import DatabaseUnreachable
from projections.folding import Folding
from projections.runner.errors import Fenced, FoldFailed, fold_raised
from projections.runner.failures import Blame, blame
from projections.runner.flood import Breaker, FloodPolicy
from projections.runner.isolation import Aggregate, Queued, Read, isolate, offsets_at_fault
from schemas.events import RepositoryUpdated
from tests.support.projecting import event, folding, record


class Trials:
    """A fold with a bug at some offsets; ``log`` holds an event of a repository per offset."""

    def __init__(self, repositories: Sequence[int], bad: set[int]) -> None:
        self.bad = bad
        self.trials = 0
        self.reads = []
        for offset, repository in enumerate(repositories):
            said = event(RepositoryUpdated(repository_id=repository, fork=True), at=offset)
            self.reads.append(Read(record(said, offset), folding(said, offset)))

    def attempt(self, events: Sequence[Folding]) -> Exception | None:
        self.trials += 1
        failed = [one.position.offset for one in events if one.position.offset in self.bad]
        return ValueError(f"at {failed[0]}") if failed else None


def _nothing(queued: Sequence[Queued]) -> None:
    pass


def _expected(repositories: Sequence[int], bad: set[int]) -> tuple[list[int], list[tuple[int, int | None]]]:
    """Kept offsets; queued ones, each with the offset that it is behind."""
    at_fault: dict[int, int] = {}
    kept: list[int] = []
    queued: list[tuple[int, int | None]] = []
    for offset, repository in enumerate(repositories):
        if repository in at_fault:
            queued.append((offset, at_fault[repository]))
        elif offset in bad:
            at_fault[repository] = offset
            queued.append((offset, None))
        else:
            kept.append(offset)
    return kept, queued


@given(
    repositories=st.lists(st.integers(1, 6), min_size=1, max_size=60),
    bad=st.sets(st.integers(0, 59), max_size=6),
    cuts=st.lists(st.integers(1, 20), min_size=60, max_size=60),
)
def test_the_same_events_are_kept_and_queued_in_batches_of_any_size(
    repositories: list[int], bad: set[int], cuts: list[int]
) -> None:
    trials = Trials(repositories, bad)
    held: dict[Aggregate, int] = {}
    kept: list[int] = []
    queued: list[tuple[int, int | None]] = []
    place = 0
    for size in cuts:
        batch = trials.reads[place : place + size]
        place += size
        split = isolate(batch, held, trials.attempt, _nothing)
        kept += [one.position.offset for one in split.kept]
        queued += [(one.read.record.offset, one.behind) for one in split.queued]
        assert all((one.error is None) == (one.behind is not None) for one in split.queued)
        held |= offsets_at_fault(split.queued)
    assert (kept, queued) == _expected(repositories, bad)


def test_one_event_among_two_thousand_is_found_in_few_trials() -> None:
    trials = Trials(range(2_000), {1_234})
    split = isolate(trials.reads, {}, trials.attempt, _nothing)
    assert [one.read.record.offset for one in split.queued] == [1_234]
    assert str(split.queued[0].error) == "at 1234"
    assert trials.trials < 30


def test_nobody_is_at_fault_when_nothing_at_all_can_be_written() -> None:
    trials = Trials([1, 2], set())
    with pytest.raises(FoldFailed) as failed:
        isolate(trials.reads, {}, lambda events: ValueError("always"), _nothing)
    assert "always" in str(failed.value)


def test_many_aggregates_stop_it_early() -> None:
    trials = Trials(range(500), set(range(500)))

    def found(queued: Sequence[Queued]) -> None:
        Breaker(FloodPolicy(aggregates=20)).check(len(offsets_at_fault(queued)), 500, 0, 0, "first")

    with pytest.raises(FoldFailed) as failed:
        isolate(trials.reads, {}, trials.attempt, found)
    assert "21 aggregates" in str(failed.value)
    assert trials.trials < 120


def test_a_share_of_the_recent_run_is_a_flood_and_a_busy_aggregate_alone_is_none() -> None:
    policy = FloodPolicy(aggregates=1_000, run_events=100, share=0.2, least_aggregates=3)
    breaker = Breaker(policy)
    breaker.check(1, 100, 1, 90, "one repository that says nearly everything")
    breaker.passed(100)
    breaker.check(3, 20, 3, 20, "20 of 120")
    breaker.passed(20, 3, 20)
    with pytest.raises(FoldFailed) as failed:
        breaker.check(4, 20, 1, 10, "the first")
    assert "21%" in str(failed.value)
    assert "the first" in str(failed.value)
    breaker.passed(100)
    breaker.check(5, 20, 1, 20, "what was long ago does not count")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.OperationalError("gone"), Blame.TIME),
        (errors.DeadlockDetected(), Blame.TIME),
        (errors.SerializationFailure(), Blame.TIME),
        (errors.QueryCanceled(), Blame.TIME),
        (errors.AdminShutdown(), Blame.TIME),
        (errors.DiskFull(), Blame.TIME),
        (errors.ReadOnlySqlTransaction(), Blame.TIME),
        (DatabaseUnreachable("no"), Blame.TIME),
        (errors.ProgramLimitExceeded(), Blame.EVENT),
        (errors.NumericValueOutOfRange(), Blame.EVENT),
        (errors.NotNullViolation(), Blame.EVENT),
        (errors.DatatypeMismatch(), Blame.EVENT),
        (fold_raised(RuntimeError("a bug")), Blame.EVENT),
        (TypeError("a bug in a writer"), Blame.EVENT),
        (errors.UndefinedTable(), Blame.NOBODY),
        (errors.InsufficientPrivilege(), Blame.NOBODY),
        (errors.InternalError_(), Blame.NOBODY),
        (Fenced("another has it"), Blame.NOBODY),
        (OSError("no descriptor"), Blame.NOBODY),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else one.value,
)
def test_whose_fault_it_is(error: Exception, expected: Blame) -> None:
    assert blame(error) is expected
