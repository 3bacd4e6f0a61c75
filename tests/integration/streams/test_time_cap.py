"""A pass that takes longer than its request may: a failed attempt, and the last one is final."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from schemas.events import RecordingDispatched, SearchCompleted, SearchFailed
from schemas.topics import Topic
from streams.leases import Leases
from streams.recordings.pool import CountingPool
from streams.recordings.runner import QueryRunner, RunnerPolicy
from streams.repositories.clones import Clones
from streams.repositories.mirror import ClonePolicy
from streams.search.engine import SearchLimits
from tests.support.repositories import RepositoryBuilder
from tests.unit.streams.events import NOW, RecordingContext, dispatched, received, request

LIMITS = SearchLimits()


class Free:
    """Locks that nobody else wants."""

    def try_lease(self, name: str, number: int) -> bool:
        return True

    def release_lease(self, name: str, number: int) -> None:
        return None


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    builder = RepositoryBuilder(tmp_path / "tiny")
    builder.commit(datetime(2026, 1, 1, tzinfo=UTC), {"a.txt": "TODO\n"})
    return builder.build()


async def outcomes(
    home: Path, repository: Path, *passes: tuple[int, float | None]
) -> list[SearchCompleted | SearchFailed]:
    """What is said of one request, for each (attempt, time cap), by one runner."""
    runner = QueryRunner(
        Clones(home, ClonePolicy()),
        Leases(Free(), "hands"),
        interactive=CountingPool(1, LIMITS),
        background=CountingPool(1, LIMITS),
        policy=RunnerPolicy(),
    )
    context = RecordingContext()
    for attempt, timeout_s in passes:
        one = msgspec.structs.replace(
            dispatched(request(1), attempt, path=str(repository)), timeout_s=timeout_s
        )
        said = RecordingDispatched(requests=[one], deadline=NOW)
        await runner.handle([received(said, Topic.WORK_BACKGROUND)], context)
    return [one.data for one in context.events if isinstance(one.data, SearchCompleted | SearchFailed)]


def test_a_pass_over_its_time_fails_and_the_next_one_is_counted(tmp_path: Path, repository: Path) -> None:
    # A counting process does not even start in a millisecond.
    slow, last, whole = asyncio.run(
        outcomes(tmp_path / "home", repository, (1, 0.001), (3, 0.001), (4, None))
    )
    assert isinstance(slow, SearchFailed)
    assert (slow.reason, slow.final, slow.attempt) == ("timeout", False, 1)
    assert isinstance(last, SearchFailed)
    assert (last.reason, last.final) == ("timeout", True)
    assert last.series[0].frames == request(1).series[0].frames, "its cells are not awaited any more"
    assert isinstance(whole, SearchCompleted), "the process that was ended has a successor"
