"""What moves a position: the outcome that its run's row took, however often and late it is said, and however the log is cut."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count, pairwise

import pytest

from schemas.events import (
    FiredRun,
    FiringCause,
    RunOutcome,
    RunStatus,
    TriggerEvaluated,
    TriggerFired,
    TriggerPruned,
)
from schemas.registry import Payload
from tests.stack import StackUnderTest, fresh_database
from tests.support.monitor_office import BEGUN, MONITOR, NEW, NEWER, OLD, World, open_world
from tests.support.projecting import T0, event, folding, settings_for

NEWEST = "d" * 40
Said = tuple[int, str | None]
"""(offset of the push, the tip that was searched; None: the search failed)."""


REPOSITORIES = count(100)
"""Each case has one of its own."""


@pytest.fixture(scope="module")
def world(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with fresh_database(stack.database_url, "positions") as url:
        yield from open_world(settings_for(url, tmp_path_factory.mktemp("positions")))


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2)], ids=str)
@pytest.mark.parametrize(
    ("said", "tip", "covered"),
    [
        (((11, NEW), (12, NEWER), (11, NEW)), NEWER, 12),
        (((11, NEW), (11, NEWER)), NEW, 11),
        (((12, NEWER), (11, NEWEST)), NEWEST, 12),
        (((11, None), (11, NEW), (12, NEWER)), NEWER, 12),
        (((11, NEW), (12, None), (12, NEWER)), NEW, 11),
    ],
    ids=["late", "repeated with more", "given out again", "failed, then said", "failed, then repeated"],
)
def test_only_the_outcome_that_counts_for_its_run_moves_the_position(
    world: World, said: tuple[Said, ...], tip: str, covered: int, cuts: tuple[int, ...]
) -> None:
    repository = next(REPOSITORIES)
    world.fold("monitors", *(folding(event(fired(repository, one)), one) for one, _ in said))
    fold_cut(world, [evaluated(repository, *one) for one in said], cuts)
    assert world.position(repository) == ((tip,), covered)


@pytest.mark.parametrize("cuts", [(), (4,), (5,), (1, 2, 3, 4, 5)], ids=str)
def test_an_outcome_said_again_after_its_run_was_pruned_moves_nothing_back(
    world: World, cuts: tuple[int, ...]
) -> None:
    repository = next(REPOSITORIES)
    pruned = TriggerPruned(
        monitor_id=MONITOR, empty_before=T0 + timedelta(days=1), all_before=T0 - timedelta(days=1)
    )
    first = evaluated(repository, 11, NEW)
    younger = [fired(repository, 12), evaluated(repository, 12, NEWER)]
    fold_cut(world, [fired(repository, 11), first, *younger, pruned, first], cuts)
    assert world.position(repository) == ((NEWER,), 12)


@pytest.mark.parametrize("cuts", [(), (1,)], ids=str)
def test_a_beginning_behind_its_outcome_lets_the_outcome_move_nothing(
    world: World, cuts: tuple[int, ...]
) -> None:
    repository = next(REPOSITORIES)
    fold_cut(world, [evaluated(repository, 11, NEW), fired(repository, 11)], cuts)
    assert world.position(repository) == ((OLD,), None)


def fold_cut(world: World, said: Sequence[Payload], cuts: Sequence[int]) -> None:
    """What was said, in batches that begin at these places."""
    foldings = [folding(event(one), 500 + n) for n, one in enumerate(said)]
    places = [0, *(one for one in cuts if one < len(said)), len(said)]
    for first, end in pairwise(places):
        world.fold("monitors", *foldings[first:end])


def fired(repository: int, pushed_offset: int) -> TriggerFired:
    return TriggerFired(
        repository_id=repository,
        moment=f"push:{pushed_offset}",
        cause=FiringCause.PUSH,
        pushed_offset=pushed_offset,
        runs=[FiredRun(monitor_id=MONITOR, begun=BEGUN, base=[OLD])],
    )


def evaluated(repository: int, pushed_offset: int, tip: str | None) -> TriggerEvaluated:
    return TriggerEvaluated(
        repository_id=repository,
        moment=f"push:{pushed_offset}",
        pushed_offset=pushed_offset,
        outcomes=[
            RunOutcome(
                monitor_id=MONITOR,
                begun=BEGUN,
                status=RunStatus.FAILED if tip is None else RunStatus.COMPLETED,
                tips=None if tip is None else [tip],
            )
        ],
    )
