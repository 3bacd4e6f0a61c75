"""Refs that move are said once, however they are seen: told by a hook, or looked at."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import ObligationRenewed, RepositoryRefreshRequested
from schemas.registry import Payload
from schemas.topics import Topic
from streams.leases import Leases
from streams.repositories.clones import Clones
from streams.repositories.glance import glance
from streams.repositories.location import mirror_path
from streams.repositories.mirror import ClonePolicy
from streams.repositories.places import Memory
from streams.repositories.poller import Poller
from streams.repositories.polling import Rota
from streams.repositories.pushes import writable
from streams.repositories.registrar import Registrar
from streams.search.engine import refs_fingerprint
from tests.unit.streams.events import received, registered
from tests.unit.streams.places import Followed, Log
from tests.unit.streams.test_registrar import Locks, git

PARTITIONS = 1


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return git(folder, "rev-parse", "main")


class Room:
    """Registrar and poller of one process over repositories that are registered and answered already."""

    def __init__(self, home: Path, followed: Followed, *, projected: bool = True) -> None:
        self.followed = followed
        self.locks = Locks()
        self.log = Log(followed if projected else None)
        leases = Leases(self.locks, "hands")
        self.registrar = Registrar(Clones(home, ClonePolicy()), leases, followed, Memory())
        self.interval_s = 10.0
        self.assigned: Mapping[str, Sequence[int]] = {Topic.REPOSITORIES.value: [0]}
        self.poller = Poller(
            self.registrar,
            followed,
            leases,
            self.log,
            partitions=PARTITIONS,
            assigned=lambda: self.assigned,
            interval_s=lambda: self.interval_s,
        )

    async def hand(self, *payloads: Payload) -> None:
        batch = [received(one, Topic.REPOSITORIES, offset=number) for number, one in enumerate(payloads)]
        assert not await self.registrar.handle(batch, self.log)


def refresh(repository_id: int = 1) -> RepositoryRefreshRequested:
    return RepositoryRefreshRequested(repository_id=repository_id)


@pytest.mark.parametrize("projected", [True, False])
def test_a_refresh_says_moves_and_nothing_else(tmp_path: Path, origin: Path, projected: bool) -> None:
    registration = registered(1, path=str(origin))
    first_tip = git(origin, "rev-parse", "main")

    async def run() -> Log:
        room = Room(tmp_path / "home", Followed(registration), projected=projected)
        await room.hand(registration)
        room.followed.fold(room.log.pushes[0], 0)
        await room.hand(refresh(), refresh())
        assert len(room.log.pushes) == 1, "nothing has moved"
        commit(origin)
        git(origin, "branch", "side")
        await room.hand(refresh())
        await room.hand(refresh())
        git(origin, "tag", "v1")
        await room.hand(refresh())
        return room.log

    log = asyncio.run(run())
    tip = git(origin, "rev-parse", "main")
    assert [(push.previous_tip, push.tip) for push in log.pushes] == [
        (None, first_tip),
        (first_tip, tip),
        (tip, tip),
    ]
    assert [[move.old for move in push.refs] for push in log.pushes[1:]] == [[first_tip], []]
    assert len({event.id for event in log.events}) == 3


def test_a_repository_registered_again_is_answered_with_what_moved_since(
    tmp_path: Path, origin: Path
) -> None:
    registration = registered(1, clone_url=f"file://{origin}")

    async def run() -> Log:
        room = Room(tmp_path / "home", Followed(registration))
        await room.hand(registration)
        await room.hand(registration)
        commit(origin)
        await room.hand(registration)
        return room.log

    first, again, moved = asyncio.run(run()).pushes
    assert (again.previous_tip, again.tip, again.refs) == (first.tip, first.tip, [])
    assert (moved.previous_tip, [move.old for move in moved.refs]) == (first.tip, [first.tip])


def test_what_went_back_and_forth_is_three_moves(tmp_path: Path, origin: Path) -> None:
    registration = registered(1, path=str(origin))

    async def run() -> Log:
        room = Room(tmp_path / "home", Followed(registration))
        await room.hand(registration)
        for _ in range(2):
            git(origin, "branch", "side")
            await room.hand(refresh())
            git(origin, "branch", "-D", "side")
            await room.hand(refresh())
        return room.log

    log = asyncio.run(run())
    assert len({event.id for event in log.events}) == 5


def test_a_mirror_is_fetched_first_and_a_dead_host_says_nothing(tmp_path: Path, origin: Path) -> None:
    registration = registered(1, clone_url=f"file://{origin}")

    async def run() -> tuple[Log, str]:
        room = Room(tmp_path / "home", Followed(registration))
        await room.hand(registration)
        tip = commit(origin)
        await room.hand(refresh())
        origin.rename(tmp_path / "gone")
        await room.hand(refresh())
        return room.log, tip

    log, tip = asyncio.run(run())
    assert [push.tip for push in log.pushes][1:] == [tip]
    assert len(log.published) == 2
    assert git(mirror_path(tmp_path / "home", 1), "rev-parse", "main") == tip


def test_only_accepted_registrations_of_followed_repositories_are_answered(
    tmp_path: Path, origin: Path
) -> None:
    one, two = registered(1, path=str(origin)), registered(2, path=str(origin))

    async def run() -> Log:
        room = Room(tmp_path / "home", Followed(one))
        room.followed.rejected = {received(one, Topic.REPOSITORIES).position}
        await room.hand(one)
        assert room.log.published == [], "rejected"
        room.followed.rejected = set()
        await room.hand(two, refresh(2))
        assert room.log.published == [], "removed, or not there"
        renewed = ObligationRenewed(obligation="repository.clone", aggregate_id=1, subject="x", attempt=2)
        await room.hand(msgspec.structs.replace(renewed, obligation="repository.plan"))
        assert room.log.published == [], "not what the registrar owes"
        await room.hand(renewed)
        return room.log

    assert len(asyncio.run(run()).pushes) == 1


def test_the_poller_looks_at_its_own_when_they_are_due(tmp_path: Path, origin: Path) -> None:
    registration = registered(1, path=str(origin))

    async def run() -> None:
        room = Room(tmp_path / "home", Followed(registration))
        await room.hand(registration)
        assert await room.poller.poll(0.0) == 0
        tip = commit(origin)
        room.assigned = {Topic.REPOSITORIES.value: []}
        assert await room.poller.poll(100.0) == 0, "another worker's"
        room.assigned = {Topic.REPOSITORIES.value: [0]}
        room.interval_s = 0.0
        assert await room.poller.poll(200.0) == 0, "switched off"
        room.interval_s = 10.0
        assert await room.poller.poll(300.0) == 1
        assert room.log.pushes[-1].tip == tip
        assert await room.poller.poll(400.0) == 0

    asyncio.run(run())


def test_the_poller_fetches_mirrors_without_waiting_for_them(tmp_path: Path, origin: Path) -> None:
    mirrored, in_place = registered(1, clone_url=f"file://{origin}"), registered(2, path=str(origin))

    async def run() -> None:
        room = Room(tmp_path / "home", Followed(mirrored, in_place))
        await room.hand(mirrored, in_place)
        await room.poller.poll(0.0)
        tip = commit(origin)
        async with room.registrar._clones.lock(1):  # a host that does not answer
            assert await room.poller.poll(100.0) == 1
            assert await room.poller.poll(200.0) == 0
            assert [push.tip for push in room.log.pushes[2:]] == [tip]
        await room.poller.settle()
        assert [(push.repository_id, push.tip) for push in room.log.pushes[2:]] == [(2, tip), (1, tip)]
        assert room.locks.held == []

    asyncio.run(run())


def test_a_glance_spares_git_where_nothing_moved(
    tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registration = registered(1, path=str(origin))
    asked: list[Path] = []

    def counted(repository: Path) -> str:
        asked.append(repository)
        return refs_fingerprint(repository)

    monkeypatch.setattr("streams.repositories.poller.refs_fingerprint", counted)

    async def run() -> None:
        room = Room(tmp_path / "home", Followed(registration))
        await room.hand(registration)
        _age(origin)
        await room.poller.poll(-100.0)
        for number in range(4):
            assert await room.poller.poll(number * 100.0) == 0
        assert len(asked) == 1
        commit(origin)
        assert await room.poller.poll(500.0) == 1
        _age(origin)
        for number in range(6, 9):
            assert await room.poller.poll(number * 100.0) == 0
        git(origin, "checkout", "-q", "-b", "side")  # HEAD alone decides which branch is counted
        _age(origin)
        assert await room.poller.poll(900.0) == 1
        assert room.log.pushes[-1].default_branch == "side"

        asked.clear()
        other = Room(tmp_path / "home", Followed(registration))
        await other.hand(registration)
        for number in range(3):
            assert await other.poller.poll(number * 100.0) == 0
        assert asked == [], "who registers it has seen it"

    asyncio.run(run())


def test_a_glance_proves_nothing_where_refs_are_kept_otherwise_or_have_just_moved(
    tmp_path: Path, origin: Path
) -> None:
    assert glance(origin, time.time_ns()) is None, "just now"
    _age(origin)
    seen = glance(origin, time.time_ns())
    assert seen is not None
    git(origin, "pack-refs", "--all")
    _age(origin)
    assert glance(origin, time.time_ns()) != seen
    git(origin, "worktree", "add", "-q", str(tmp_path / "linked"))
    assert glance(tmp_path / "linked", time.time_ns() + 10**12) is None


def test_moments_are_spread_and_none_is_left_out() -> None:
    rota = Rota(Followed(*(registered(number) for number in range(200))).places.values())
    looks = [rota.due(since_s=1000.0 + s, until_s=1001.0 + s, interval_s=60.0) for s in range(60)]
    assert sorted(place.repository_id for look in looks for place in look) == list(range(200))
    assert max(map(len, looks)) < 15
    assert len(rota.due(since_s=0.0, until_s=10_000.0, interval_s=60.0)) == 200
    assert rota.due(since_s=0.0, until_s=10_000.0, interval_s=0.0) == []
    assert rota.due(since_s=5.0, until_s=5.0, interval_s=1.0) == []


@given(
    steps_s=st.lists(st.floats(0.001, 50.0), min_size=1, max_size=60),
    began_s=st.floats(0.0, 1e6),
    interval_s=st.sampled_from([0.5, 7.0, 60.0, 300.0]),
)
def test_whenever_the_looks_come_nobody_waits_longer_than_an_interval_and_a_look(
    steps_s: list[float], began_s: float, interval_s: float
) -> None:
    rota = Rota(Followed(*(registered(number) for number in range(20))).places.values())
    looks, looked_s, now_s = dict.fromkeys(range(20), 0), dict.fromkeys(range(20), began_s), began_s
    for step_s in steps_s:
        since_s, now_s = now_s, now_s + step_s
        found = [one.repository_id for one in rota.due(since_s=since_s, until_s=now_s, interval_s=interval_s)]
        assert len(set(found)) == len(found)
        for key in found:
            looks[key] += 1
            looked_s[key] = now_s
        assert all(now_s - one_s <= interval_s + max(steps_s) for one_s in looked_s.values())
    assert max(looks.values()) <= (now_s - began_s) // interval_s + 1


def test_a_branch_name_that_no_event_can_hold_is_left_to_the_reader() -> None:
    assert writable("é" * 500) == "é" * 500
    assert writable("é" * 501) is None
    assert writable("a\nb") is None
    assert writable("\udcff") is None
    assert writable(None) is None


def _age(repository: Path) -> None:
    """As if it had been left alone for a minute."""
    at = time.time() - 60
    for folder, _, files in os.walk(repository / ".git"):
        for path in (Path(folder), *(Path(folder) / name for name in files)):
            os.utime(path, (at, path.stat().st_mtime - 60))
