"""The registrar on real git repositories, without a broker."""

import asyncio
import errno
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.events import RepositoryCloneFailed, RepositoryPushed, RepositoryRegistered
from schemas.topics import Topic
from streams.leases import Leases
from streams.repositories import pushes
from streams.repositories.clones import Clones
from streams.repositories.location import CloneRefused, mirror_path
from streams.repositories.mirror import ClonePolicy, ensure_mirror
from streams.repositories.places import Memory, Place
from streams.repositories.registrar import Registrar
from tests.unit.streams.events import RecordingContext, received, registered
from tests.unit.streams.places import Followed


class Locks:
    """Leases that are always free; remembers who asked."""

    def __init__(self) -> None:
        self.held: list[int] = []

    def try_lease(self, name: str, number: int) -> bool:
        self.held.append(number)
        return True

    def release_lease(self, name: str, number: int) -> None:
        self.held.remove(number)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    git(folder, "tag", "v1")
    return folder


def registrar_of(
    home: Path, locks: Locks, *payloads: RepositoryRegistered, timeout_s: float = 60.0
) -> Registrar:
    return Registrar(
        Clones(home, ClonePolicy(timeout_s)), Leases(locks, "hands"), Followed(*payloads), Memory()
    )


def place(registration: RepositoryRegistered) -> Place:
    return Followed(registration).places[registration.repository_id]


def register(home: Path, *payloads: RepositoryRegistered, timeout_s: float = 60.0) -> list[object]:
    async def run() -> RecordingContext:
        locks, context = Locks(), RecordingContext()
        found = registrar_of(home, locks, *payloads, timeout_s=timeout_s)
        batch = [
            received(payload, Topic.REPOSITORIES, partition=number) for number, payload in enumerate(payloads)
        ]
        assert not await found.handle(batch, context)
        assert locks.held == []
        return context

    context = asyncio.run(run())
    by_repository = {event.key: event for event in context.events}
    return [by_repository[str(payload.repository_id)].data for payload in payloads]


def test_a_path_is_used_in_place(tmp_path: Path, origin: Path) -> None:
    git(origin, "branch", "side")
    [pushed] = register(tmp_path / "home", registered(1, path=str(origin)))
    assert isinstance(pushed, RepositoryPushed)
    assert (pushed.default_branch, pushed.tip, pushed.previous_tip) == (
        "main",
        git(origin, "rev-parse", "main"),
        None,
    )
    assert [move.ref for move in pushed.refs] == ["refs/heads/main", "refs/heads/side", "refs/tags/v1"]
    assert not (tmp_path / "home" / "mirrors").exists()


def test_a_url_is_mirrored_and_fetched_when_it_is_registered_again(tmp_path: Path, origin: Path) -> None:
    home, url = tmp_path / "home", f"file://{origin}"
    [first] = register(home, registered(1, clone_url=url))
    assert isinstance(first, RepositoryPushed)
    mirror = mirror_path(home, 1)
    assert git(mirror, "rev-parse", "--is-bare-repository") == "true"
    git(origin, "commit", "-q", "--allow-empty", "-m", "two")
    [second] = register(home, registered(1, clone_url=url))
    assert isinstance(second, RepositoryPushed)
    assert second.tip == git(origin, "rev-parse", "main") != first.tip
    assert [path.name for path in mirror.parent.iterdir()] == ["1.git"], "no draft is left"


def test_an_empty_repository_is_ready_and_has_no_tip(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(tmp_path / "empty.git"))
    [pushed] = register(tmp_path / "home", registered(1, path=str(tmp_path / "empty.git")))
    assert isinstance(pushed, RepositoryPushed)
    assert (pushed.tip, pushed.refs) == (None, [])


def test_what_is_wrong_is_said_with_a_reason(tmp_path: Path, origin: Path) -> None:
    (tmp_path / "plain").mkdir()
    outcomes = register(
        tmp_path / "home",
        registered(1, path=str(tmp_path / "gone")),
        registered(2, path=str(tmp_path / "plain")),
        registered(3, clone_url="http://example.org/x.git"),
        registered(4, clone_url=f"file://{tmp_path}/gone"),
        registered(5, path=str(origin)),
    )
    reasons = [
        outcome.reason if isinstance(outcome, RepositoryCloneFailed) else "pushed" for outcome in outcomes
    ]
    assert reasons == ["path-missing", "not-a-repository", "transport-refused", "clone-error", "pushed"]


def test_a_place_that_the_system_refuses_is_a_failed_clone(
    tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_dir = Path.is_dir

    def refuse_long_names(folder: Path) -> bool:  # a file system whose names are shorter than those of others
        if len(folder.name) > 200:
            raise OSError(errno.ENAMETOOLONG, "File name too long", str(folder))
        return is_dir(folder)

    monkeypatch.setattr(Path, "is_dir", refuse_long_names)
    failed, pushed = register(
        tmp_path / "home", registered(1, path="/" + "x" * 250), registered(2, path=str(origin))
    )
    assert isinstance(failed, RepositoryCloneFailed)
    assert failed.reason == "unreadable"
    assert "too long" in failed.message
    assert isinstance(pushed, RepositoryPushed), "another repository is not held up"


def test_a_url_longer_than_an_argument_may_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CloneRefused) as caught:
        ensure_mirror(tmp_path, 1, "file:///" + "x" * 200_000, ClonePolicy())
    assert caught.value.reason == "invalid-url"


def test_names_of_refs_are_left_out_where_an_event_would_be_too_large(
    tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aaaa", "bbbb", "cccc"):
        git(origin, "branch", name)
    monkeypatch.setattr(pushes, "MAX_REFS_BYTES", len("refs/heads/aaaa") * 2 + 1)
    [pushed] = register(tmp_path / "home", registered(1, path=str(origin)))
    assert isinstance(pushed, RepositoryPushed)
    assert [move.ref for move in pushed.refs] == ["refs/heads/main", "refs/heads/aaaa", "refs/heads/bbbb"]
    assert pushed.refs_omitted == 2


def test_a_folder_that_may_not_be_entered_is_a_failed_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> bool:  # root may enter every folder, so the refusal is played
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "is_dir", refuse)
    found = registrar_of(tmp_path, Locks())
    failed = found.make_readable(place(registered(1, path="/srv/closed")), None)
    assert isinstance(failed, RepositoryCloneFailed)
    assert failed.reason == "unreadable"
    assert "Permission denied" in failed.message


def test_a_full_disk_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(Path, "mkdir", refuse)
    found = registrar_of(tmp_path, Locks())
    with pytest.raises(OSError, match="No space"):
        found.make_readable(place(registered(1, clone_url="file:///srv/origin")), None)


def test_a_clone_that_takes_too_long_is_ended_whole(
    tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = tmp_path / "bin"
    hook.mkdir()
    (hook / "git").write_text('#!/bin/sh\necho $$ > "$PIDS"\nexec sleep 60\n')
    (hook / "git").chmod(0o755)
    monkeypatch.setenv("PIDS", str(tmp_path / "pid"))
    monkeypatch.setenv("PATH", f"{hook}:/usr/bin:/bin")
    [failed] = register(tmp_path / "home", registered(1, clone_url=f"file://{origin}"), timeout_s=1.0)
    assert isinstance(failed, RepositoryCloneFailed)
    assert failed.reason == "timeout"
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_cancelled_clone_has_ended_before_its_lease_and_its_lock_are_free(
    tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(
        '#!/bin/sh\necho $$ > "$PIDS.new"\nmv "$PIDS.new" "$PIDS"\nexec sleep 60\n'
    )
    (tmp_path / "bin" / "git").chmod(0o755)
    pids = tmp_path / "pid"
    monkeypatch.setenv("PIDS", str(pids))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    async def run() -> None:
        pid = 0

        class Watching(Locks):
            def release_lease(self, name: str, number: int) -> None:
                assert not Path(f"/proc/{pid}").exists(), "git still writes where another may begin"
                super().release_lease(name, number)

        locks, clones = Watching(), Clones(tmp_path / "home", ClonePolicy(30.0))
        registration = registered(1, clone_url=f"file://{origin}")
        found = Registrar(clones, Leases(locks, "hands"), Followed(registration), Memory())
        batch = [received(registration, Topic.REPOSITORIES)]
        working = asyncio.ensure_future(found.handle(batch, RecordingContext()))
        async with asyncio.timeout(20):
            while not pids.exists():
                await asyncio.sleep(0.01)
            pid = int(pids.read_text())
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
        assert not Path(f"/proc/{pid}").exists()
        assert (locks.held, clones.lock(1).locked()) == ([], False)

    asyncio.run(run())
    assert list((tmp_path / "home" / "mirrors").iterdir()) == [], "no draft is left"


def test_what_a_dead_process_left_is_cleared(tmp_path: Path, origin: Path) -> None:
    left = tmp_path / "mirrors" / ".1.0123.draft"
    left.mkdir(parents=True)
    (left / "HEAD").write_text("torn")
    mirror = ensure_mirror(tmp_path, 1, f"file://{origin}", ClonePolicy())
    assert list(mirror.parent.iterdir()) == [mirror]


def test_a_partition_waits_until_its_lease_is_free() -> None:
    class Taken(Locks):
        def __init__(self) -> None:
            super().__init__()
            self.refusals = 3

        def try_lease(self, name: str, number: int) -> bool:
            self.refusals -= 1
            return self.refusals < 0 and super().try_lease(name, number)

    async def run(locks: Taken) -> None:
        async with _held(Leases(locks, "x")):
            assert locks.held == [4]
        assert locks.held == []

    @asynccontextmanager
    async def _held(leases: Leases) -> AsyncIterator[None]:
        async with leases.partition(4):
            yield

    asyncio.run(run(Taken()))


def test_a_lease_taken_while_its_taker_was_cancelled_is_given_back() -> None:
    asked, answer = threading.Event(), threading.Event()

    class Slow(Locks):
        def try_lease(self, name: str, number: int) -> bool:
            asked.set()
            answer.wait(10)
            return super().try_lease(name, number)

    async def run() -> list[int]:
        locks = Slow()

        async def work() -> None:
            async with Leases(locks, "x").partition(4):
                raise AssertionError("nobody works after a cancellation")

        working = asyncio.ensure_future(work())
        await asyncio.to_thread(asked.wait, 10)
        working.cancel()
        await asyncio.sleep(0)  # the cancellation arrives before the answer does
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await working
        return locks.held

    assert asyncio.run(run()) == []
