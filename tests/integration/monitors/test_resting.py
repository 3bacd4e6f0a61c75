"""A repository in which a monitor's runs fail rests for it, longer each time: over real projections, without a broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.events import FiringCause, MonitorUpdated, RunStatus
from tests.stack import StackUnderTest, fresh_database
from tests.support.monitor_office import ACTIONS, FAILING, MONITOR, OTHER, World, open_world
from tests.support.projecting import event, folding, settings_for


@pytest.fixture
def world(stack: StackUnderTest, tmp_path: Path) -> Iterator[World]:
    with fresh_database(stack.database_url, "resting") as url:
        yield from open_world(settings_for(url, tmp_path))


def test_each_failure_doubles_the_rest_and_pushes_and_ticks_keep_it(world: World) -> None:
    assert world.ticked(200) == world.pushed(200) == {FAILING, OTHER}
    world.ran(1_000, "push:5", FiringCause.PUSH, RunStatus.FAILED)
    assert world.ticked(1_299) == world.pushed(1_299) == {OTHER}
    assert world.ticked(1_300) == world.pushed(1_300) == {FAILING, OTHER}, "it was not taken for settled"
    world.ran(2_000, "tick:5:1", FiringCause.TICK, RunStatus.FAILED)
    assert world.ticked(2_599) == world.pushed(2_599) == {OTHER}
    assert world.ticked(2_600) == world.pushed(2_600) == {FAILING, OTHER}
    world.ran(3_000, "asked:9", FiringCause.ASKED, RunStatus.FAILED)
    assert world.pushed(3_299) == {OTHER}
    assert world.pushed(3_300) == {FAILING, OTHER}, "who asks begins anew"
    world.ran(4_000, "tick:5:2", FiringCause.TICK, RunStatus.COMPLETED)
    assert world.pushed(4_001) == {FAILING, OTHER}, "it succeeded"


def test_another_query_begins_anew(world: World) -> None:
    world.ran(1_000, "push:5", FiringCause.PUSH, RunStatus.FAILED)
    assert world.pushed(1_010) == {OTHER}
    edited = MonitorUpdated(monitor_id=MONITOR, description="d", actions=ACTIONS, query="type:diff FIXME")
    world.fold("monitors", folding(event(edited, at=1_011), 20_000))
    assert world.pushed(1_012) == {FAILING, OTHER}
