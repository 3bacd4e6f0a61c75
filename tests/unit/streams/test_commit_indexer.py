"""The commit indexer on real git repositories, without a broker."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.codec import MAX_RECORD_BYTES, encode, new_event, record_size_bytes
from schemas.events import CommitsIndexed, ObligationRenewed, RepositoryPushed
from schemas.ids import new_event_id
from schemas.topics import Topic
from streams.agent import Received
from streams.commits.indexer import CommitIndexer
from streams.commits.looks import MAX_PART_BYTES, Look, Told, look_of, parts_of
from streams.leases import Leases
from streams.obligations.names import Owing
from streams.repositories.clones import Clones
from streams.repositories.mirror import ClonePolicy
from streams.search.git.refs import FoundCommit, FoundRef, FoundRefs, commits_between, refs_and_boundary
from streams.threads import Interrupt
from tests.support.repositories import git
from tests.unit.streams.events import RecordingContext, received, registered
from tests.unit.streams.places import Followed
from tests.unit.streams.test_registrar import Locks

REPOSITORY = 7
AT = datetime(2026, 5, 4, tzinfo=UTC)


class Projected:
    """What the commit graph would show."""

    def __init__(self) -> None:
        self.told: dict[int, Told] = {}

    async def of(self, repository_ids: Iterable[int]) -> dict[int, Told]:
        return {one: self.told[one] for one in repository_ids if one in self.told}


class Bench:
    """One indexer with its surroundings; ``push`` asks it, ``events`` is all that it said."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder
        self.projected = Projected()
        self.context = RecordingContext()
        self.offset = 0
        self._indexer = CommitIndexer(
            Clones(home, ClonePolicy(60.0)),
            Leases(Locks(), "hands"),
            Followed(registered(REPOSITORY, str(folder))),
            self.projected,
        )

    def push(self) -> list[CommitsIndexed]:
        """Tell of a push; what is said about it."""
        self.offset += 1
        return self.ask(received(pushed(), Topic.REPOSITORIES, offset=self.offset))

    def ask(self, *batch: Received) -> list[CommitsIndexed]:
        before = len(self.context.events)
        asyncio.run(self._indexer.handle(batch, self.context))
        said = [one.data for one in self.context.events[before:]]
        return [one for one in said if isinstance(one, CommitsIndexed)]

    def commit(self, name: str = "c", branch: str | None = None) -> str:
        if branch is not None:
            git(self.folder, "checkout", "-q", "-B", branch)
        git(self.folder, "commit", "-q", "--allow-empty", "-m", name)
        return self.at("HEAD")

    def at(self, revision: str) -> str:
        return git(self.folder, "rev-parse", revision).decode().strip()


def pushed() -> RepositoryPushed:
    return RepositoryPushed(repository_id=REPOSITORY, default_branch="main", tip=None)


def shas(parts: Sequence[CommitsIndexed]) -> set[str]:
    return {commit.sha for part in parts for commit in part.commits}


def tips(parts: Sequence[CommitsIndexed]) -> dict[str, str]:
    return {ref.name: ref.tip for part in parts for ref in part.refs}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return Bench(tmp_path / "home", folder)


def test_only_what_is_new_is_told_and_where_all_refs_stand(bench: Bench) -> None:
    first, second = bench.commit(), bench.commit()
    git(bench.folder, "tag", "-a", "v1", "-m", "v1", first)
    git(bench.folder, "tag", "-a", "nested", "-m", "n", "v1")
    git(bench.folder, "tag", "tree", bench.at("HEAD^{tree}"))
    (whole,) = bench.push()
    assert shas([whole]) == {first, second}
    assert whole.base is None
    assert (whole.batch, whole.of) == (1, 1)
    assert tips([whole]) == {"main": second, "v1": first, "nested": first}
    assert [ref.name for ref in whole.refs if ref.default] == ["main"]
    assert {one.sha: one.parents for one in whole.commits} == {first: [], second: [first]}

    third = bench.commit()
    (more,) = bench.push()
    assert shas([more]) == {third}
    assert more.base == whole.look_id
    assert more.pushed_offset == 2
    assert bench.push()[0].commits == []  # nothing new, but the push has its answer


def test_a_forced_push_and_a_deleted_branch(bench: Bench) -> None:
    first = bench.commit()
    bench.commit("old", "topic")
    bench.push()
    git(bench.folder, "checkout", "-q", "main")
    git(bench.folder, "branch", "-q", "-D", "topic")
    git(bench.folder, "commit", "-q", "--amend", "--allow-empty", "-m", "other")
    git(bench.folder, "reflog", "expire", "--expire=now", "--all")
    git(bench.folder, "gc", "-q", "--prune=now")
    (said,) = bench.push()
    assert shas([said]) == {bench.at("main")} != {first}
    assert tips([said]) == {"main": bench.at("main")}


def test_an_empty_repository_has_an_answer_too(bench: Bench) -> None:
    (said,) = bench.push()
    assert (said.commits, said.refs, said.batch, said.of) == ([], [], 1, 1)


def test_a_detached_head_without_branches_is_a_branch(bench: Bench) -> None:
    only = bench.commit()
    git(bench.folder, "checkout", "-q", "--detach")
    git(bench.folder, "branch", "-q", "-D", "main")
    (said,) = bench.push()
    assert [(ref.name, ref.tip, ref.default) for ref in said.refs] == [("HEAD", only, True)]


def test_a_shallow_clone_says_where_it_is_cut_off_and_is_told_anew_when_that_moves(
    bench: Bench, tmp_path: Path
) -> None:
    commits = [bench.commit(str(number)) for number in range(5)]
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=2", f"file://{bench.folder}", str(shallow))
    clone = Bench(tmp_path / "home", shallow)
    (cut,) = clone.push()
    assert {one.sha: (one.parents, one.cut_off) for one in cut.commits} == {
        commits[4]: ([commits[3]], False),
        commits[3]: ([], True),
    }
    git(shallow, "fetch", "-q", "--unshallow")
    (whole,) = clone.push()
    assert shas([whole]) == set(commits)
    assert whole.base is None
    assert not any(one.cut_off for one in whole.commits)
    assert whole.boundary != cut.boundary


def test_of_several_pushes_in_one_batch_the_newest_is_answered(bench: Bench) -> None:
    bench.commit()
    batch = [received(pushed(), Topic.REPOSITORIES, offset=number) for number in (3, 4, 9)]
    assert [one.pushed_offset for one in bench.ask(*batch)] == [9]
    assert bench.ask(*batch) == []  # delivered once more


def test_what_was_told_is_remembered_until_it_is_asked_for_again(bench: Bench) -> None:
    first = bench.commit()
    (said,) = bench.push()
    renewal = ObligationRenewed(
        obligation=Owing.COMMITS_INDEX, aggregate_id=REPOSITORY, subject="1", attempt=2
    )
    (again,) = bench.ask(received(renewal, Topic.REPOSITORIES, offset=5))
    assert (again.look_id, again.pushed_offset, shas([again])) == (said.look_id, 1, {first})
    assert [one.id for one in bench.context.events[:1]] == [one.id for one in bench.context.events[1:]]

    bench.projected.told[REPOSITORY] = Told(
        look_id=said.look_id, pushed_offset=1, boundary=said.boundary, tips=(first,)
    )
    assert bench.ask(received(renewal, Topic.REPOSITORIES, offset=6)) == []  # the graph has it by now


def test_a_folder_that_is_no_repository_ends_nothing(bench: Bench, tmp_path: Path) -> None:
    assert Bench(tmp_path / "home", tmp_path / "nothing").push() == []


def test_a_missing_object_is_no_short_history(bench: Bench) -> None:
    bench.commit()
    first = bench.at("HEAD")
    bench.commit()
    (bench.folder / ".git" / "objects" / first[:2] / first[2:]).unlink()
    assert bench.push() == []


def test_parts_are_below_what_the_log_takes_and_say_everything_once() -> None:
    commits = [FoundCommit(f"{n:040x}", [f"{n + 1:040x}"] * (n % 3), AT, False) for n in range(20_000)]
    refs = tuple(FoundRef(False, "é" * 300 + str(n), f"{n:040x}", AT, False) for n in range(3_000))
    look = look_of(1, 5, FoundRefs(refs, frozenset()), None)
    parts = parts_of(look, commits)
    assert len(parts) > 3
    assert [one.batch for one in parts] == list(range(1, len(parts) + 1))
    assert {one.of for one in parts} == {len(parts)}
    assert {one.look_id for one in parts} == {look.look_id}
    assert [one.sha for part in parts for one in part.commits] == [one.sha for one in commits]
    assert sum(len(one.refs) for one in parts) == len(refs)
    for part in parts:
        key, value, headers = encode(new_event(part, source="//t", time=AT, event_id=new_event_id()))
        size_bytes = record_size_bytes(key, value, headers)
        assert size_bytes < MAX_RECORD_BYTES
        assert len(value or b"") <= MAX_PART_BYTES + 1_000


def test_the_same_look_is_the_same_events(bench: Bench) -> None:
    for number in range(3):
        bench.commit(str(number))

    def look() -> tuple[Look, list[CommitsIndexed]]:
        found = refs_and_boundary(bench.folder)
        made = look_of(REPOSITORY, 1, found, None)
        return made, parts_of(
            made, commits_between(bench.folder, made.told.tips, (), found.boundary, Interrupt())
        )

    assert look() == look()
    before = look()[0].look_id
    bench.commit()
    assert look()[0].look_id != before
