"""A repository that is registered is not told of, whether it was known before or not: over real projections, without a broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.events import RepositoryPushed, RepositoryRegistered, RepositoryRemoved, RepositoryRenamed
from schemas.registry import Payload
from tests.stack import StackUnderTest, fresh_database
from tests.support.monitor_office import FAILING, NEW, NEWER, OTHER, World, open_world, push
from tests.support.projecting import event, folding, settings_for

NEWEST = "d" * 40


@pytest.fixture
def world(stack: StackUnderTest, tmp_path: Path) -> Iterator[World]:
    with fresh_database(stack.database_url, "registering") as url:
        yield from open_world(settings_for(url, tmp_path))


def test_what_was_pushed_between_removal_and_registration_is_not_told(world: World) -> None:
    straggler = push(FAILING, "e" * 40, NEW)  # a look that was under way when the repository went
    answer, later = push(FAILING, NEWER, NEW), push(FAILING, NEWEST, NEWER)
    happens(world, 100, RepositoryRemoved(repository_id=FAILING), straggler)
    happens(world, 110, registered("r1"), RepositoryRenamed(repository_id=FAILING, name="r1b"))
    happens(world, 120, answer)
    assert world.fires(120, (120, answer)) == set(), "the clone is ready: its history is past"
    assert world.ticked(600) == {OTHER}
    happens(world, 700, later)
    assert world.fires(700, (700, later)) == {FAILING}
    world.keep()
    assert world.searched(FAILING, since=110) == (NEWER,)


def test_what_is_pushed_while_a_followed_repository_gets_another_name_is_told(world: World) -> None:
    moved = push(FAILING, NEWER, NEW)
    happens(world, 100, RepositoryRenamed(repository_id=FAILING, name="r1b"), moved)
    assert world.fires(101, (101, moved)) == {FAILING}
    world.keep()
    assert world.searched(FAILING) == (NEW,)


def happens(world: World, at_s: int, *said: Payload) -> None:
    """One second and one offset after the other, each in a batch of its own."""
    for n, one in enumerate(said):
        folded = folding(event(one, at=at_s + n), at_s + n)
        world.fold("monitors", folded)
        if not isinstance(one, RepositoryPushed):
            world.fold("repositories", folded)


def registered(name: str) -> RepositoryRegistered:
    return RepositoryRegistered(repository_id=FAILING, name=name, path="/p")
