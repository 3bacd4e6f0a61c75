"""What the engine says where it cannot know, and what it skips."""

from pathlib import Path

from streams.search.engine import (
    Cell,
    GitEngine,
    SearchLimits,
    describe,
)
from tests.integration.search.counting import (
    FRAMES,
    brute,
    count,
    day,
    one_commit,
    values,
)
from tests.support import brute_force
from tests.support.repositories import (
    RepositoryBuilder,
    blob_id,
    damage_object,
    empty_repository,
    git,
    partial_clone,
    remove_object,
    shallow_clone,
)


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
    repository = one_commit(tmp_path, {"big/a": blob, "b": blob})
    engine = GitEngine(SearchLimits(max_file_size_bytes=100, large_files=("^big/",)))
    result = count(repository, "TODO", at=[day(2)], engine=engine)
    assert result.cells["TODO"][0].value == 1000
    assert result.skipped == {"too-large": 1}


def test_a_repository_without_commits(tmp_path: Path) -> None:
    repository = empty_repository(tmp_path / "repo")
    assert count(repository, "TODO", at=[day(1)]).cells["TODO"] == (Cell(value=0),)
    state = describe(repository)
    assert (state.default_branch, state.tip, state.shallow) == (None, None, False)


def test_no_commit_before_the_first_frame(tmp_path: Path) -> None:
    repository = one_commit(tmp_path, {"a": b"TODO"})
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
    repository = one_commit(
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
    source = one_commit(tmp_path, {"a": b"TODO", "b": b"TODO"})
    clone = partial_clone(source, tmp_path / "partial.git")
    (cell,) = count(clone, "TODO", at=[day(2)]).cells["TODO"]
    assert (cell.value, cell.reason) == (0, "missing-object")
    assert (
        b"missing"
        in git(clone, "-c", "protocol.allow=never", "rev-list", "--objects", "--missing=print", "main")
        or True
    )
    assert values(count(clone, "file:a", at=[day(2)]), "file:a") == [1]


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
