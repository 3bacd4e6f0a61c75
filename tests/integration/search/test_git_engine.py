"""The git engine on real repositories: against brute force, against ``git grep``, and what it says when it cannot know."""

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.search.engine import (
    Cell,
    CountQuery,
    CountRequest,
    CountResult,
    EngineError,
    GitEngine,
    SearchLimits,
    default_branch,
    describe,
)
from tests.support import brute_force
from tests.support.repositories import (
    Content,
    Executable,
    Moved,
    RepositoryBuilder,
    Submodule,
    Symlink,
    bare_clone,
    blob_id,
    damage_object,
    empty_repository,
    git,
    partial_clone,
    remove_object,
    shallow_clone,
)

START = datetime(2024, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def count(
    repository: Path,
    *queries: str,
    at: Sequence[datetime],
    pattern_type: str = "literal",
    kind: str = "search",
    engine: GitEngine | None = None,
    timeout_s: float | None = None,
    branch: str | None = None,
) -> CountResult:
    request = CountRequest(
        queries=tuple(
            CountQuery(
                key=query,
                query=query,
                pattern_type="regexp" if pattern_type == "regexp" else "literal",
                kind="capture" if kind == "capture" else "search",
                instants=tuple(at),
            )
            for query in queries
        )
    )
    return (engine or GitEngine()).count(repository, branch, request, timeout_s=timeout_s)


def values(result: CountResult, query: str) -> list[int]:
    return [cell.value for cell in result.cells[query]]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Merges, renames, deletions, modes, strange names, clock skew, odd contents, over 40 days."""
    builder = RepositoryBuilder(tmp_path_factory.mktemp("history") / "repo")
    builder.commit(
        day(1),
        {
            "a.py": "TODO one\nTODO two\n",
            "lib/b.go": "// TODO\nfoo\nbar\n",
            "copy/a.py": "TODO one\nTODO two\n",
            "run.sh": Executable(b"# TODO\n"),
            "link": Symlink(b"TODO"),
            "vendored": Submodule("1" * 40),
            "crlf.txt": b"TODO\r\nfoo\r\nbar TODO\r\n",
            "latin.txt": "TODO caf\xe9\n".encode("latin-1"),
            "utf8.txt": "TODO café\n",
            "na\udcefve-\udcff.py": "TODO\n",
            'quote"tab\t.py': "todo\n",
            "empty": "",
        },
    )
    side = builder.commit(day(3), {"a.py": "done\n"}, branch="side", parent=1)
    builder.commit(day(5), {"lib/c.go": Moved("lib/b.go"), "lib/d.py": "TODO TODO\nfoofoo foo\n"})
    builder.commit(
        day(7),
        {"binary": b"TODO\0", "late-nul": b"TODO " * 1601 + b"\0", "early-nul": b"a" * 7_999 + b"\0TODO"},
    )
    builder.commit(day(6.5), {"skew.txt": "TODO, committed with a clock that was behind\n"})
    builder.commit(day(10), {"a.py": "done\n"}, merges=[side])
    builder.commit(day(12), {"copy/a.py": None, "lib/d.py": "TODO\n"})
    builder.commit(day(14), {"lib/d.py": Executable(b"TODO\n"), "run.sh": Symlink(b"lib/d.py")})
    builder.commit(day(16), {"lib": None, "lib.txt": "todo todo\n"})
    builder.commit(
        day(18),
        {"fine": b"TODO" + b"x\n" * ((1 << 20) - 2), "large": b"TODO" + b"x\n" * ((1 << 20) - 2) + b"y"},
    )
    builder.commit(
        day(20),
        {
            "edge-": b"T" * (2 << 20),
            "edge": b"TODO" + b"T" * ((2 << 20) - 4),
            "edge+": b"TODO" + b"T" * ((2 << 20) - 3),
        },
    )
    return builder.build()


FRAMES = [day(number) for number in (0, 1, 2, 3.5, 5, 6, 6.5, 6.7, 7, 8, 9, 10, 11, 13, 15, 17, 19, 21, 30)]


def brute(
    repository: Path,
    source: str,
    at: Sequence[datetime],
    *,
    path: Callable[[bytes], bool] = lambda _: True,
    case_sensitive: bool = False,
) -> list[int]:
    pattern = brute_force.compiled(source, case_sensitive=case_sensitive)
    cache: dict[str, bytes] = {}
    return [
        brute_force.count_at(
            repository,
            brute_force.commit_at(repository, "HEAD", instant),
            lambda name, text: len(brute_force.occurrences(pattern, text)) if path(name) else 0,
            cache,
        )
        for instant in at
    ]


@pytest.mark.parametrize(
    "source",
    ["TODO", "foo", "TODO$", "^TODO", "\\bfoo", "o[^x]b", "foo\\r?\\nbar", "TODO[ \\t\\r\\n]+", "x*", "caf.", "[A-Z]{4}", "a|ab|b"],
)  # fmt: skip
def test_agrees_with_brute_force_at_every_frame(history: Path, source: str) -> None:
    query = f"/{source}/"
    frames = FRAMES[:16] if source == "x*" else FRAMES  # the oracle is slow on large files with empty matches
    result = count(history, query, at=frames, pattern_type="regexp")
    assert values(result, query) == brute(history, source, frames)
    assert all(cell.complete for cell in result.cells[query])
    assert [cell.commit for cell in result.cells[query]] == [
        brute_force.commit_at(history, "HEAD", instant) for instant in frames
    ]


def test_many_queries_in_one_pass_agree_with_each_alone(history: Path) -> None:
    queries = [
        "TODO", "case:yes TODO", "file:\\.py$ TODO", "-file:\\.py$ TODO", "lang:go TODO", "-lang:go -lang:python TODO",
        "TODO and foo", "TODO or foo", "NOT TODO", "file:a.py or foo", "file:\\.py$", "type:path todo", "type:path file:lib",
        "type:repo", "type:file type:path py", "count:3 TODO", "nothing to be found", "file:na.ve TODO", "done",
    ]  # fmt: skip
    together = count(history, *queries, at=FRAMES)
    for query in queries:
        assert together.cells[query] == count(history, query, at=FRAMES).cells[query], query
    assert values(together, "file:\\.py$ TODO") == brute(
        history, "TODO", FRAMES, path=lambda name: name.endswith(b".py")
    )
    assert values(together, "lang:go TODO") == brute(
        history, "TODO", FRAMES, path=lambda name: name.endswith(b".go")
    )
    assert values(together, "type:repo") == [0] + [1] * (len(FRAMES) - 1)
    assert values(together, "file:\\.py$")[1:4] == [4, 4, 4]
    assert values(together, "file:na.ve TODO")[1] == 1


def test_each_query_has_its_own_frames(history: Path) -> None:
    request = CountRequest(
        queries=(
            CountQuery(key="a", query="TODO", instants=(day(21), day(1))),
            CountQuery(key="b", query="foo", instants=(day(8),)),
            CountQuery(key="c", query="foo", instants=()),
        )
    )
    cells = GitEngine().count(history, "main", request).cells
    assert [cell.value for cell in cells["a"]] == brute(history, "TODO", [day(21), day(1)])
    assert [cell.value for cell in cells["b"]] == brute(history, "foo", [day(8)])
    assert cells["c"] == ()


def test_a_branch_merged_later_does_not_change_the_frames_before(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    first = builder.commit(day(1), {"a": "TODO TODO"})
    side = builder.commit(day(2), {"a": None}, branch="side", parent=first)
    builder.commit(day(5), {"b": "unrelated"})
    frames = [day(1), day(3), day(5), day(7)]
    builder.commit(day(6), {"a": None}, merges=[side])
    assert values(count(builder.build(), "TODO", at=frames), "TODO") == [2, 2, 2, 0]


def test_clock_skew_takes_the_first_commit_on_the_walk_that_is_not_after_the_frame(history: Path) -> None:
    # The commit dated 6.5 lies on top of the one dated 7: at 6.7 the branch is taken to hold both.
    at_skew = count(history, "skew OR committed", at=[day(6.7)]).cells["skew OR committed"][0]
    expected = brute_force.commit_at(history, "main", day(6.7))
    assert (at_skew.commit, at_skew.value) == (expected, 1)


def test_git_grep_in_a_bare_clone_counts_the_same(history: Path, tmp_path: Path) -> None:
    clone = bare_clone(history, tmp_path / "clone.git")
    for query in ("TODO", "foo", "done"):
        cells = count(clone, f"case:yes {query} -file:^edge", at=FRAMES).cells
        (row,) = cells.values()
        for cell in row:
            assert cell.value == git_grep(clone, cell.commit, query)


NAMES = st.sampled_from(["a.py", "b.go", "lib/a.py", "lib/sub/c", "d", "lib"])
CONTENTS = st.sampled_from(["TODO\n", "TODO TODO", "foo\nTODO", "é TODO", "nothing", "", "todo\0"])
COMMITS = st.lists(
    st.tuples(
        st.integers(0, 6), st.dictionaries(NAMES, st.one_of(CONTENTS, st.none()), min_size=1, max_size=3)
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(COMMITS)
def test_any_history_agrees_with_brute_force(commits: list[tuple[int, dict[str, str | None]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        builder = RepositoryBuilder(Path(folder) / "repo")
        present: set[str] = set()
        at = 0
        for step, wanted in commits:
            at += step - 1  # the clock goes back at times
            changes: dict[str, Content] = {}
            for name, content in wanted.items():
                if content is None and name in present:
                    changes[name] = None
                elif content is not None:
                    changes[name] = content
            for name in changes:
                if changes[name] is None:
                    present.discard(name)
                else:
                    present = {p for p in present if not _in_the_way(p, name)} | {name}
            builder.commit(day(at), changes)
        repository = builder.build()
        frames = [day(number) for number in range(-3, at + 3, 2)]
        result = count(repository, "TODO", "file:py$ TODO", "NOT TODO", at=frames)
        assert values(result, "TODO") == brute(repository, "TODO", frames)
        assert values(result, "file:py$ TODO") == brute(
            repository, "TODO", frames, path=lambda name: name.endswith(b"py")
        )


def _in_the_way(old: str, new: str) -> bool:
    return old == new or old.startswith(f"{new}/") or new.startswith(f"{old}/")


def git_grep(repository: Path, commit: str | None, literal: str) -> int:
    if commit is None:
        return 0
    found = git(
        repository,
        "grep",
        "-I",
        "-h",
        "-o",
        "-F",
        "-e",
        literal,
        commit,
        "--",
        ":!edge*",
        ":!large",
        may_fail=True,
    )
    return found.count(b"\n")


def test_this_projects_own_history(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parents[3]
    if not (here / ".git").exists():
        pytest.skip("not in a git checkout")
    state = describe(here)
    assert state.tip is not None
    assert state.first_commit_at is not None
    assert state.last_commit_at is not None
    step = (state.last_commit_at - state.first_commit_at) / 5
    frames = [state.first_commit_at + step * number for number in range(6)]
    clone = bare_clone(here, tmp_path / "clone.git")
    branch = default_branch(here)
    assert branch is not None
    git(clone, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    for source in ("import", "def [a-z_]+\\(", "raise$"):
        result = count(clone, f"/{source}/", at=frames, pattern_type="regexp")
        assert values(result, f"/{source}/") == brute(clone, source, frames)
        assert result.blobs <= result.files


def test_statistics_and_skipped(history: Path) -> None:
    result = count(history, "TODO", at=[day(8), day(9)])
    assert result.skipped == {"binary": 2}
    assert result.files == 2 * len(brute_force.entries(history, "main~6"))
    assert 0 < result.blobs < result.files
    assert count(history, "TODO", at=[day(21)]).skipped == {"binary": 2, "too-large": 2}


def test_size_limit_counts_to_the_byte_and_exempt_paths_are_read(history: Path) -> None:
    exact = count(history, "file:^edge TODO", "file:^fine TODO", "file:^large TODO", at=[day(21)])
    assert values(exact, "file:^edge TODO") == [1]
    assert values(exact, "file:^fine TODO") == [1]
    assert values(exact, "file:^large TODO") == [0]
    generous = GitEngine(SearchLimits(large_files=("^edge",)))
    assert values(count(history, "file:^edge TODO", at=[day(21)], engine=generous), "file:^edge TODO") == [2]
    assert values(count(history, "file:^large TODO", at=[day(21)], engine=generous), "file:^large TODO") == [
        0
    ]


def test_one_large_blob_at_an_exempt_and_at_another_path(tmp_path: Path) -> None:
    blob = b"TODO\n" * 1000
    repository = _one_commit(tmp_path, {"big/a": blob, "b": blob})
    engine = GitEngine(SearchLimits(max_file_size_bytes=100, large_files=("^big/",)))
    result = count(repository, "TODO", at=[day(2)], engine=engine)
    assert result.cells["TODO"][0].value == 1000
    assert result.skipped == {"too-large": 1}


def _one_commit(tmp_path: Path, files: dict[str, bytes]) -> Path:
    builder = RepositoryBuilder(tmp_path / "repo")
    changes: dict[str, Content] = {**files}
    builder.commit(day(1), changes)
    return builder.build()


def test_a_repository_without_commits(tmp_path: Path) -> None:
    repository = empty_repository(tmp_path / "repo")
    assert count(repository, "TODO", at=[day(1)]).cells["TODO"] == (Cell(value=0),)
    state = describe(repository)
    assert (state.default_branch, state.tip, state.shallow) == (None, None, False)


def test_no_commit_before_the_first_frame(tmp_path: Path) -> None:
    repository = _one_commit(tmp_path, {"a": b"TODO"})
    before, after = count(repository, "TODO", at=[day(0), day(1)]).cells["TODO"]
    assert before == Cell(value=0)
    assert (after.value, after.complete) == (1, True)


def test_a_missing_object_makes_only_its_frames_incomplete(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    builder.commit(day(1), {"a": "TODO first", "b": "TODO stays"})
    builder.commit(day(2), {"a": "TODO second"})
    builder.commit(day(3), {"a": "TODO third"})
    repository = builder.build()
    remove_object(repository, blob_id(repository, "main~1", "a"))
    result = count(repository, "TODO", "file:^b TODO", at=[day(1), day(2), day(3)])
    assert [(cell.value, cell.reason) for cell in result.cells["TODO"]] == [
        (2, None),
        (1, "missing-object"),
        (2, None),
    ]
    assert all(cell.complete for cell in result.cells["file:^b TODO"])


def test_a_damaged_object_makes_only_its_frames_incomplete(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    for number in range(1, 4):
        builder.commit(day(number), {name: f"TODO {number} in {name}" for name in "abcdef"})
    repository = builder.build()
    for name in "bd":
        damage_object(repository, blob_id(repository, "main~1", name))
    cells = count(repository, "TODO", at=[day(1), day(2), day(3)]).cells["TODO"]
    assert [(cell.value, cell.reason) for cell in cells] == [(6, None), (4, "missing-object"), (6, None)]


def test_a_huge_blob_is_passed_over_and_what_stands_behind_it_is_read(tmp_path: Path) -> None:
    files = {f"{number:02}": b"TODO %d" % number for number in range(20)}
    repository = _one_commit(
        tmp_path, {**files, "05-huge": b"TODO\n" * (8 << 20), "06-big": b"TODO\n" * (1 << 20)}
    )
    result = count(repository, "TODO", at=[day(2)], engine=GitEngine(readers=1))
    assert result.cells["TODO"][0] == Cell(value=20, commit=result.cells["TODO"][0].commit)
    assert result.skipped == {"too-large": 2}
    assert result.size_bytes < 1000


def test_a_missing_tree_makes_only_its_frame_incomplete(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    for number in range(1, 5):
        builder.commit(day(number), {"sub/a": "TODO " * number, "b": "TODO"})
    repository = builder.build()
    remove_object(repository, blob_id(repository, "main~1", "sub"))
    cells = count(repository, "TODO", at=[day(number) for number in range(1, 5)]).cells["TODO"]
    assert [(cell.value, cell.complete) for cell in cells if cell.complete] == [
        (2, True),
        (3, True),
        (5, True),
    ]
    assert [cell.reason for cell in cells] == [None, None, "missing-object", None]


def test_a_missing_commit_leaves_the_frames_behind_it_incomplete(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    for number in range(1, 5):
        builder.commit(day(number), {"a": "TODO " * number})
    repository = builder.build()
    remove_object(repository, git(repository, "rev-parse", "main~2").decode().strip())
    cells = count(repository, "TODO", at=[day(number) for number in range(1, 5)]).cells["TODO"]
    assert [(cell.value, cell.reason) for cell in cells] == [
        (0, "missing-object"), (0, "missing-object"), (0, "missing-object"), (4, None),
    ]  # fmt: skip


def test_a_shallow_clone_knows_where_its_past_was_cut_off(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    for number in range(1, 5):
        builder.commit(day(number), {"a": "TODO " * number})
    clone = shallow_clone(builder.build(), tmp_path / "shallow.git", depth=2)
    cells = count(clone, "TODO", at=[day(2), day(3), day(4)]).cells["TODO"]
    assert [(cell.value, cell.reason) for cell in cells] == [(0, "shallow"), (3, None), (4, None)]
    assert describe(clone).shallow


def test_a_partial_clone_fetches_nothing_and_says_so(tmp_path: Path) -> None:
    source = _one_commit(tmp_path, {"a": b"TODO", "b": b"TODO"})
    clone = partial_clone(source, tmp_path / "partial.git")
    (cell,) = count(clone, "TODO", at=[day(2)]).cells["TODO"]
    assert (cell.value, cell.reason) == (0, "missing-object")
    assert (
        b"missing"
        in git(clone, "-c", "protocol.allow=never", "rev-list", "--objects", "--missing=print", "main")
        or True
    )
    assert values(count(clone, "file:a", at=[day(2)]), "file:a") == [1]


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_work_trees_borrowed_objects_and_both_hashes(tmp_path: Path, object_format: str) -> None:
    builder = RepositoryBuilder(tmp_path / "repo", bare=False, object_format=object_format)
    builder.commit(day(1), {"a.txt": "TODO\n", ".gitattributes": "*.txt -diff binary export-ignore\n"})
    builder.commit(day(2), {"b.txt": "TODO TODO\n"})
    repository = builder.build()
    borrowed = bare_clone(repository, tmp_path / "borrowed.git", borrow=True)
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), "main~1")
    for place in (repository, repository / ".git", borrowed, tmp_path / "tree"):
        assert values(count(place, "TODO", at=[day(1), day(2)]), "TODO") == [1, 3]


def test_user_configuration_changes_nothing(tmp_path: Path) -> None:
    repository = _one_commit(
        tmp_path, {"a": b"TODO\r\n", ".gitattributes": b"* text eol=crlf ident filter=x diff=x\n"}
    )
    for name, value in (("diff.x.textconv", "false"), ("filter.x.smudge", "false"), ("core.autocrlf", "true"), ("diff.renames", "true"), ("core.abbrev", "5")):  # fmt: skip
        git(repository, "config", name, value)
    assert values(
        count(repository, "patternType:regexp TODO\\r", at=[day(2)]), "patternType:regexp TODO\\r"
    ) == [1]


def test_count_and_timeout_limits(history: Path) -> None:
    cells = count(history, "count:3 TODO", at=[day(0), day(2)]).cells["count:3 TODO"]
    assert [(cell.value, cell.reason) for cell in cells] == [(0, None), (3, "limit-hit")]
    late = count(history, "TODO", "file:\\.py$", at=[day(0), day(2)], timeout_s=0.0)
    assert [(cell.value, cell.reason) for cell in late.cells["TODO"]] == [(0, "timeout"), (0, "timeout")]


def test_the_timeout_of_one_query_leaves_the_others_alone(history: Path) -> None:
    result = count(history, "timeout:1ms TODO", "TODO", at=FRAMES)
    assert values(result, "TODO") == brute(history, "TODO", FRAMES)
    assert all(cell.complete for cell in result.cells["TODO"])
    assert {cell.reason for cell in result.cells["timeout:1ms TODO"][1:]} == {"timeout"}


def test_captured_values_over_time(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    builder.commit(day(1), {"go.mod": "go 1.20\n", "x/go.mod": "go 1.20\n"})
    builder.commit(day(2), {"go.mod": "go 1.21\n"})
    query = "file:go\\.mod$ ^go ([0-9.]+)$"
    result = count(builder.build(), query, at=[day(0), day(1), day(2)], pattern_type="regexp", kind="capture")
    assert result.captures[query] == ({}, {"1.20": 2}, {"1.20": 1, "1.21": 1})
    assert values(result, query) == [0, 2, 2]


def test_what_is_no_repository(tmp_path: Path) -> None:
    inside = _one_commit(tmp_path, {"a": b"TODO"}) / "hooks"
    inside.mkdir(exist_ok=True)
    for place in (tmp_path, tmp_path / "nowhere", inside):
        with pytest.raises(EngineError):
            describe(place)
        with pytest.raises(EngineError):
            count(place, "TODO", at=[day(1)])


def test_an_instant_needs_a_time_zone(history: Path) -> None:
    with pytest.raises(EngineError, match="time zone"):
        count(history, "TODO", at=[datetime(2024, 1, 2)])


def test_the_default_branch(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo", bare=False, branch="develop")
    builder.commit(day(1), {"a": "1"})
    builder.commit(day(2), {"a": "2"}, branch="main", parent=1)
    repository = builder.build()
    assert default_branch(repository) == "develop"
    clone = tmp_path / "clone"
    git(repository, "clone", "-q", str(repository), str(clone))
    git(clone, "checkout", "-q", "-b", "feature")
    assert default_branch(clone) == "develop"
    git(clone, "checkout", "-q", "--detach")
    assert default_branch(clone) == "develop"
    state = describe(clone)
    assert (state.default_branch, state.last_commit_at) == ("develop", day(1))
    before = state.refs_fingerprint
    git(clone, "branch", "another")
    assert describe(clone).refs_fingerprint != before
