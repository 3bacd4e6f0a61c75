"""The newest state: counted from the difference of two trees it is what counting the whole tree gives."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.search.engine import Cell, CountQuery, CountRequest, GitEngine, SearchLimits, SnapshotPoint
from tests.integration.search.counting import day
from tests.support.repositories import (
    Content,
    Executable,
    RepositoryBuilder,
    Symlink,
    blob_id,
    git,
    remove_object,
)

LIMITS = SearchLimits(max_file_size_bytes=40, large_files=(r"\.big$",))
QUERIES = (
    "TODO", "TODO and foo", "TODO or foo", "NOT TODO", "TODO NOT foo", "file:py$ TODO", "-file:py$ TODO", "file:py$",
    "file:lib -file:py$", "lang:go TODO or foo", "file:py$ or foo", "type:path todo", "type:path lib", "type:file type:path py",
    "type:repo", "repo:.*", "count:2 TODO", "case:yes todo", "nothing",
)  # fmt: skip


def commits_of(repository: Path) -> list[str]:
    return git(repository, "rev-list", "--reverse", "HEAD").decode().split()


def ask(
    repository: Path,
    commit: str | None,
    base: str | None = None,
    base_values: dict[str, int] | None = None,
    queries: tuple[str, ...] = QUERIES,
    limits: SearchLimits = LIMITS,
    base_limits: SearchLimits | None = LIMITS,
) -> dict[str, Cell]:
    request = CountRequest(
        queries=tuple(
            CountQuery(
                key=query,
                query=query,
                instants=(),
                snapshot=SnapshotPoint(
                    commit=commit,
                    base_commit=base,
                    base_value=None if base_values is None else base_values.get(query),
                    base_limits=None if base_limits is None else base_limits.digest,
                ),
            )
            for query in queries
        )
    )
    return dict(GitEngine(limits).count(repository, None, request).snapshots)


def framed(repository: Path, number: int) -> dict[str, Cell]:
    """The same by the ordinary count: at the instant of commit ``number``."""
    request = CountRequest(
        queries=tuple(CountQuery(key=query, query=query, instants=(day(number),)) for query in QUERIES)
    )
    return {key: cells[0] for key, cells in GitEngine(LIMITS).count(repository, None, request).cells.items()}


NAMES = st.sampled_from(["a.py", "b.go", "lib/a.py", "lib/sub/c", "d", "lib", "x.big", "lib/todo.py"])
TEXTS = st.sampled_from(
    ["TODO\n", "TODO TODO", "foo\nTODO", "é TODO", "nothing", "", "todo\0", "foo " * 20, "TODO " * 30, "foo"]
)
CONTENTS = st.one_of(
    TEXTS,
    TEXTS.map(lambda text: Executable(text.encode())),
    st.just(Symlink(b"TODO")),
    st.none(),
)
HISTORIES = st.lists(
    st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=4),
    min_size=2,
    max_size=7,
)


def built(folder: Path, history: list[dict[str, Content]]) -> Path:
    builder = RepositoryBuilder(folder)
    present: set[str] = set()
    for number, wanted in enumerate(history):
        changes: dict[str, Content] = {}
        for name, content in wanted.items():
            if content is None and name not in present:
                continue
            changes[name] = content
            present = {old for old in present if old != name and not _in_the_way(old, name)}
            if content is not None:
                present.add(name)
        builder.commit(day(number), changes)
    return builder.build()


@settings(max_examples=40, deadline=None)
@given(HISTORIES)
def test_by_difference_is_what_the_whole_gives(history: list[dict[str, Content]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = built(Path(folder) / "repo", history)
        commits = commits_of(repository)
        whole = [ask(repository, commit) for commit in commits]
        for number, cells in enumerate(whole):
            assert cells == framed(repository, number)
        for old, new in ((0, -1), (-1, 0), (0, 1), (len(commits) // 2, -1)):
            known = {query: cell.value for query, cell in whole[old].items() if cell.complete}
            moved = ask(repository, commits[new], commits[old], known)
            assert moved == whole[new], (commits[old], commits[new])


def test_a_rename_costs_no_blob_twice_and_a_known_base_reads_only_what_changed(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    builder.commit(day(1), {f"f{number}": f"TODO {number}" for number in range(50)})
    builder.commit(day(2), {"f1": None, "new": "TODO TODO"})
    repository = builder.build()
    old, new = commits_of(repository)
    request = CountRequest(
        queries=(
            CountQuery(
                key="q",
                query="TODO",
                instants=(),
                snapshot=SnapshotPoint(
                    commit=new, base_commit=old, base_value=50, base_limits=SearchLimits().digest
                ),
            ),
        )
    )
    result = GitEngine().count(repository, None, request)
    assert result.snapshots["q"] == Cell(value=51, commit=new)
    assert (result.files, result.blobs) == (2, 2)
    assert result.cells["q"] == ()


def test_a_base_that_is_gone_or_wrong_is_no_base(tmp_path: Path) -> None:
    repository = built(tmp_path / "repo", [{"a.py": "TODO"}, {"b.go": "TODO TODO"}])
    old, new = commits_of(repository)
    whole = ask(repository, new)
    for base, value in (("0" * 40, 1), ("f" * 40, 7), (old, None)):
        known = {} if value is None else dict.fromkeys(QUERIES, value)
        assert ask(repository, new, base, known) == whole, base
    # A base below what was taken away cannot have been counted by these rules.
    assert ask(repository, old, new, {"TODO": 0})["TODO"] == ask(repository, old)["TODO"]


@pytest.mark.parametrize("other", [SearchLimits(10), SearchLimits(10_000), SearchLimits(40), None])
def test_a_base_under_other_limits_is_no_base(tmp_path: Path, other: SearchLimits | None) -> None:
    """What is searched now and was not then does not stand in the difference of two trees."""
    repository = built(
        tmp_path / "repo", [{"large": "TODO " * 9, "s": "TODO", "x.big": "TODO " * 9}, {"t": "TODO"}]
    )
    old, new = commits_of(repository)
    whole = ask(repository, new)
    assert whole["TODO"].value == 11
    known = {
        query: cell.value
        for query, cell in ask(repository, old, limits=other or SearchLimits(10)).items()
        if cell.complete
    }
    assert ask(repository, new, old, known, base_limits=other) == whole
    believed = ask(repository, new, old, known)["TODO"].value
    assert believed == known["TODO"] + 1 != 11, "the same base would have been wrong"


def test_limits_are_the_same_where_the_same_files_are_searched() -> None:
    both = SearchLimits(40, ("a", "b"))
    assert both.digest == SearchLimits(40, ("b", "a", "a")).digest
    others = [
        SearchLimits(41, ("a", "b")),
        SearchLimits(40, ("a",)),
        SearchLimits(40, ("ab",)),
        SearchLimits(),
    ]
    assert len({both.digest, *(one.digest for one in others)}) == 5


def test_a_blob_that_is_missing_is_said_and_never_subtracted(tmp_path: Path) -> None:
    repository = built(tmp_path / "repo", [{"a.py": "TODO 1", "d": "TODO"}, {"a.py": "TODO TODO 2"}])
    old, new = commits_of(repository)
    known = {query: cell.value for query, cell in ask(repository, old).items() if cell.complete}
    whole = ask(repository, new)
    remove_object(repository, blob_id(repository, old, "a.py"))
    assert ask(repository, new, old, known) == whole, "the old blob is not needed for the whole"
    remove_object(repository, blob_id(repository, new, "a.py"))
    cell = ask(repository, new, old, known)["TODO"]
    assert (cell.value, cell.complete, cell.reason) == (1, False, "missing-object")


def test_frames_and_snapshots_are_counted_in_one_pass(tmp_path: Path) -> None:
    repository = built(tmp_path / "repo", [{"a.py": "TODO"}, {"b.go": "TODO TODO"}, {"d": "TODO"}])
    first, second, third = commits_of(repository)
    request = CountRequest(
        queries=(
            CountQuery(
                key="both", query="TODO", instants=(day(0), day(1)), snapshot=SnapshotPoint(commit=third)
            ),
            CountQuery(key="frame", query="TODO", instants=(day(2), day(-1))),
            CountQuery(key="old", query="TODO", instants=(), snapshot=SnapshotPoint(commit=second)),
            CountQuery(
                key="moved",
                query="TODO",
                instants=(day(0),),
                snapshot=SnapshotPoint(
                    commit=third, base_commit=first, base_value=1, base_limits=SearchLimits().digest
                ),
            ),
            CountQuery(key="empty", query="TODO", instants=(), snapshot=SnapshotPoint(commit=None)),
            CountQuery(
                key="captured",
                query=r"patternType:regexp (TODO)",
                kind="capture",
                instants=(day(0),),
                snapshot=SnapshotPoint(commit=third, base_commit=first, base_value=1),
            ),
        )
    )
    result = GitEngine().count(repository, None, request)
    assert {key: [cell.value for cell in cells] for key, cells in result.cells.items()} == {
        "both": [1, 3], "frame": [4, 0], "old": [], "moved": [1], "empty": [], "captured": [1],
    }  # fmt: skip
    assert result.snapshots == {
        "both": Cell(value=4, commit=third),
        "old": Cell(value=3, commit=second),
        "moved": Cell(value=4, commit=third),
        "empty": Cell(value=0),
        "captured": Cell(value=4, commit=third),
    }
    assert result.snapshot_captures == {"captured": {"TODO": 4}}


def test_a_commit_that_is_not_here_is_incomplete(tmp_path: Path) -> None:
    repository = built(tmp_path / "repo", [{"a.py": "TODO"}])
    cell = ask(repository, "f" * 40)["TODO"]
    assert (cell.value, cell.reason) == (0, "missing-object")


def test_time_that_runs_out_is_said(tmp_path: Path) -> None:
    repository = built(tmp_path / "repo", [{"a.py": "TODO"}, {"a.py": "TODO TODO"}])
    old, new = commits_of(repository)
    point = SnapshotPoint(commit=new, base_commit=old, base_value=1, base_limits=SearchLimits().digest)
    request = CountRequest(queries=(CountQuery(key="q", query="TODO", instants=(), snapshot=point),))
    cell = GitEngine().count(repository, None, request, timeout_s=0.0).snapshots["q"]
    assert (cell.complete, cell.reason) == (False, "timeout")


def _in_the_way(old: str, new: str) -> bool:
    return old.startswith(f"{new}/") or new.startswith(f"{old}/")
