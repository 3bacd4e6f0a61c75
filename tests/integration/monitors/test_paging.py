"""Who pages through the history of a monitor while it is pruned goes on where the page ended: over real projections."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from projections.monitors.queries import history
from schemas.events import (
    FiredRun,
    FiringCause,
    Found,
    RunOutcome,
    RunStatus,
    TriggerEvaluated,
    TriggerFired,
    TriggerPruned,
)
from schemas.triggers.ids import trigger_job_id
from tests.stack import StackUnderTest, fresh_database
from tests.support.monitor_office import BEGUN, FAILING, MONITOR, World, open_world
from tests.support.projecting import T0, event, folding, settings_for


@pytest.fixture
def world(stack: StackUnderTest, tmp_path: Path) -> Iterator[World]:
    with fresh_database(stack.database_url, "paging") as url:
        yield from open_world(settings_for(url, tmp_path))


def test_a_page_behind_a_run_that_was_pruned_goes_on_and_does_not_begin_again(world: World) -> None:
    for at_s, found in ((100, 1), (200, 1), (300, 0)):
        ran(world, at_s, found)
    (newest,) = page(world, None)
    assert newest.id == job(300)
    ran(world, 400, 1)
    pruned = TriggerPruned(
        monitor_id=MONITOR, empty_before=T0 + timedelta(seconds=399), all_before=T0 - timedelta(days=1)
    )
    world.fold("monitors", folding(event(pruned, at=500), 5_000))
    seen = []
    after = (newest.listed_at, newest.id)
    while rows := page(world, after):
        seen += [one.id for one in rows]
        after = (rows[-1].listed_at, rows[-1].id)
        assert len(seen) <= 3
    assert seen == [job(200), job(100)]


def page(world: World, after: tuple[datetime, int] | None) -> list[history.Run]:
    with world.reader.snapshot(("monitors",)) as snapshot:
        return history.runs(snapshot.connection, MONITOR, 1, after)


def job(at_s: int) -> int:
    return trigger_job_id(MONITOR, FAILING, f"push:{at_s}")


def ran(world: World, at_s: int, found: int) -> None:
    """A run that began and ended then, and found so much."""
    moment = f"push:{at_s}"
    fired = TriggerFired(
        repository_id=FAILING, moment=moment, cause=FiringCause.PUSH, pushed_offset=at_s,
        runs=[FiredRun(monitor_id=MONITOR, begun=BEGUN)],
    )  # fmt: skip
    outcome = RunOutcome(
        monitor_id=MONITOR, begun=BEGUN, status=RunStatus.COMPLETED, tips=[f"{at_s:040x}"], result_count=found,
        match_count=found, results=[Found(commit=f"{at_s:040x}")] * found,
    )  # fmt: skip
    evaluated = TriggerEvaluated(repository_id=FAILING, moment=moment, pushed_offset=at_s, outcomes=[outcome])
    world.fold(
        "monitors",
        folding(event(fired, at=at_s), 10 * at_s),
        folding(event(evaluated, at=at_s), 10 * at_s + 1),
    )
