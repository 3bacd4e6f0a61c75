"""The git engine counts what brute force counts, and what ``git grep`` counts, at every frame."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.search.engine import (
    CountQuery,
    CountRequest,
    GitEngine,
    default_branch,
    describe,
)
from tests.integration.search.counting import (
    FRAMES,
    brute,
    count,
    day,
    values,
)
from tests.support import brute_force
from tests.support.repositories import (
    Content,
    RepositoryBuilder,
    bare_clone,
    git,
)


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
