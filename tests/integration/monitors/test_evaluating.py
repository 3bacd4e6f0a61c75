"""What the evaluator says under a lease that it has lost meanwhile: nothing. Real history, real leases, no broker."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.blobs import BlobStore
from infra.topics import HANDS_APP
from schemas.events import FiredRun, FiringCause, RepositoryLocation, TriggerDispatched, TriggerEvaluated
from schemas.topics import Topic
from streams.leases import Leases
from streams.monitors.evaluator import Evaluator, Office
from streams.repositories.clones import Clones
from streams.repositories.mirror import ClonePolicy
from streams.slots import Slot, SlotLost
from tests.stack import StackUnderTest, fresh_database
from tests.support.monitor_office import BEGUN, FAILING, MONITOR, PUSHED, World, open_world
from tests.support.office import Free
from tests.support.projecting import T0, settings_for
from tests.support.repositories import RepositoryBuilder
from tests.support.slots import end_session_of_slot
from tests.unit.streams.events import received


@pytest.fixture
def world(stack: StackUnderTest, tmp_path: Path) -> Iterator[World]:
    with fresh_database(stack.database_url, "evaluating") as url:
        for world in open_world(settings_for(url, tmp_path)):
            world.fold("access")
            yield world


def test_an_outcome_of_a_lease_that_was_lost_in_the_search_is_not_said(world: World, tmp_path: Path) -> None:
    with closing(Slot.take(world.settings, HANDS_APP)) as slot:
        evaluated(world, slot, tmp_path, is_lost=False)
        assert [type(one.data) for one in world.events] == [TriggerEvaluated]
        world.published.clear()
        with pytest.raises(BaseExceptionGroup) as raised:
            evaluated(world, slot, tmp_path, is_lost=True)
        assert raised.group_contains(SlotLost)
        assert world.events == []


def evaluated(world: World, slot: Slot, folder: Path, *, is_lost: bool) -> None:
    """One run, in whose middle the server ends the session of the lease, as it does with that of a paused process."""
    path = folder / f"lost-{is_lost}"
    builder = RepositoryBuilder(path)
    builder.commit(T0, {"a.txt": b"TODO\n"})
    builder.build()

    def may_see(user: str, repository_id: int) -> bool:
        if is_lost:
            end_session_of_slot(world.settings, HANDS_APP)
        return True

    office = Office(world.reader, Free(), BlobStore(f"file://{folder}/blobs"), may_see, 1)
    evaluator = Evaluator(office, Clones(folder, ClonePolicy()), Leases(slot, HANDS_APP))
    said = TriggerDispatched(
        repository_id=FAILING,
        moment=f"push:{PUSHED}",
        cause=FiringCause.PUSH,
        pushed_offset=PUSHED,
        runs=[FiredRun(monitor_id=MONITOR, begun=BEGUN, base=[])],
        location=RepositoryLocation(path=str(path)),
    )
    asyncio.run(evaluator.handle([received(said, Topic.WORK_INTERACTIVE)], world))
