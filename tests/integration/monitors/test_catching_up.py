"""The clock and who asks begin no run before the firer has: over real projections, without a broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from projections.monitors.queries import history
from schemas.events import RepositoryRemoved, TriggerEvaluated
from tests.stack import StackUnderTest, fresh_database
from tests.support.monitor_office import (
    FAILING,
    MONITOR,
    NEW,
    NEWER,
    OLD,
    OTHER,
    PUSHED,
    World,
    open_world,
    push,
)
from tests.support.projecting import event, folding, settings_for

FIRST, SECOND = (PUSHED, push(FAILING, NEW, OLD)), (PUSHED + 1, push(FAILING, NEWER, NEW))


@pytest.fixture
def world(stack: StackUnderTest, tmp_path: Path) -> Iterator[World]:
    """The firer is before the first push of two."""
    with fresh_database(stack.database_url, "catching") as url:
        for world in open_world(settings_for(url, tmp_path)):
            world.fold("monitors", folding(event(SECOND[1], at=61), SECOND[0]))
            world.groups.passed = PUSHED
            yield world


def test_the_clock_leaves_what_the_firer_has_not_passed(world: World) -> None:
    assert world.ticked(600) == set(), "the firer is behind, however old the pushes are"
    world.groups.passed = PUSHED + 1
    assert world.ticked(1_200) == {OTHER}, "its one push is passed, the second one elsewhere is not"
    assert world.fires(1_300, FIRST, SECOND) == {FAILING}
    world.keep()
    assert world.searched(FAILING) == (OLD,), "what was pushed first is not taken for searched"
    world.groups.passed = PUSHED + 2
    assert world.ticked(1_800) == {OTHER}, "nothing is settled by a look that was too early"


def test_who_asks_before_the_firer_has_passed_gets_the_runs_of_the_pushes(world: World) -> None:
    assert world.asked(600, offset=9) == set()
    assert world.fires(601, FIRST, SECOND) == {FAILING}
    world.keep()
    assert world.asked(602, offset=10) == {FAILING}, "what was searched there is known now"
    world.keep()
    assert world.searched(FAILING) == (OLD,)
    world.groups.passed = PUSHED + 2
    assert world.asked(603, offset=11) == {FAILING, OTHER}


def test_a_lost_run_of_a_removed_repository_ends(world: World) -> None:
    assert world.fires(70, FIRST, (PUSHED, push(OTHER, NEW, OLD))) == {FAILING, OTHER}
    world.keep()
    removed = folding(event(RepositoryRemoved(repository_id=FAILING), at=80), 80)
    for name in ("monitors", "repositories"):
        world.fold(name, removed)
    assert world.found_lost(200) == 1, "what is still followed is given to the hands again"
    (ended,) = [one for one in world.events if isinstance(one.data, TriggerEvaluated)]
    world.fold("monitors", folding(ended, 200_000))
    with world.reader.snapshot(("monitors",)) as snapshot:
        (run,) = [
            one for one in history.runs(snapshot.connection, MONITOR, 10) if one.repository_id == FAILING
        ]
    assert (run.state, run.reason) == ("failed", "removed")
    assert world.found_lost(300) == 1
    assert [one for one in world.events if isinstance(one.data, TriggerEvaluated)] == [], "said once"
