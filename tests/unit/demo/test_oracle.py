"""git grep as a witness: when it is one, what it is asked, and that a difference is seen."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.demo.oracle import (
    Cell,
    GrepFailed,
    GrepPattern,
    check_command,
    command_that_prints,
    compare,
    count,
    git_directory,
    grep_pattern,
)
from tests.unit.demo.repositories import git, make_repository

WHEN = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("legacy_client.", GrepPattern("legacy_client.", case_sensitive=False)),
        ("TODO case:yes", GrepPattern("TODO", case_sensitive=True)),
        ("repo:x fork:yes foo bar", GrepPattern("foo bar", case_sensitive=False)),
        ("type:file x", GrepPattern("x", case_sensitive=False)),
        ("patternType:regexp fo+", None),
        ("file:src x", None),
        ("lang:go x", None),
        ("a OR b", None),
        ("NOT a", None),
        ("type:path a", None),
        ("count:5 a", None),
        ("größe", None),
        ("repo:x", None),
        ("author:x", None),
    ],
)
def test_which_queries_git_grep_can_witness(query: str, expected: GrepPattern | None) -> None:
    assert grep_pattern(query) == expected


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = {
        "a.txt": b"x = x; X\n",
        "hidden.txt": b"x x\n",
        ".gitattributes": b"hidden.txt -diff\n",
        "binary": b"x\0x\n",
        "big.txt": b"x\n" * 3,
        "two words/c.txt": b"x.y\n",
    }
    return make_repository(tmp_path / "re po", [(WHEN, files)])


def cell(repository: Path, query: str, value: int, *, complete: bool = True) -> Cell:
    return Cell(query, "local/repo", repository, WHEN, git(repository, "rev-parse", "main"), value, complete)


def test_counts_occurrences_without_attributes_in_a_work_tree(repository: Path) -> None:
    commit = git(repository, "rev-parse", "main")
    directory = git_directory(repository)
    assert count(directory, GrepPattern("x", case_sensitive=False), commit) == 10
    assert count(directory, GrepPattern("x", case_sensitive=True), commit) == 9
    assert count(directory, GrepPattern("x.y", case_sensitive=True), commit) == 1
    assert count(directory, GrepPattern("x", case_sensitive=False), commit, ["big.txt"]) == 7
    assert count(directory, GrepPattern("absent", case_sensitive=False), commit) == 0
    with pytest.raises(GrepFailed):
        count(directory, GrepPattern("x", case_sensitive=False), "0" * 40)
    with pytest.raises(GrepFailed):
        git_directory(repository.parent)


def test_equal_counts_are_equal_and_others_are_named(repository: Path) -> None:
    right, wrong = cell(repository, "x", 10), cell(repository, "=", 2)
    before_first_commit = Cell("x", "local/repo", repository, WHEN, None, 0)
    witness = compare([right, before_first_commit], budget_s=60)
    assert (witness.cells_compared, witness.cells_all, witness.differences, witness.why_not) == (2, 2, (), "")
    assert witness.duration_s > 0
    witness = compare([right, wrong], budget_s=60)
    assert [(found.cell, found.git_grep) for found in witness.differences] == [(wrong, 1)]


def test_says_what_was_not_compared(repository: Path) -> None:
    assert "no witness" in compare([cell(repository, "a OR x", 10)], budget_s=60).why_not
    partly = compare([cell(repository, "x", 10), cell(repository, "x", 3, complete=False)], budget_s=60)
    assert (partly.cells_compared, partly.differences) == (1, ())
    assert partly.why_not == "1 of 2 cells compared, the others are incomplete"
    stopped = compare([cell(repository, "x", 10)] * 3, budget_s=0)
    assert stopped.cells_compared == 1
    assert "stopped after 0 s" in stopped.why_not
    assert compare([], budget_s=1).cells_compared == 0


def test_printed_command_prints_the_number(repository: Path) -> None:
    git(repository, "rm", "--quiet", "--cached", ".gitattributes")
    (repository / ".gitattributes").unlink()
    git(repository, "commit", "--quiet", "--message", "Without attributes")
    right = cell(repository, "x", 9)
    found = command_that_prints([replace(right, value=8), replace(right, value=0), right])
    assert found is not None
    command, shown = found
    assert shown == right
    assert (
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.strip()
        == "9"
    )
    assert check_command(right, GrepPattern("it's", case_sensitive=True)).endswith(
        f"""'it'"'"'s' {right.commit} | wc -l"""
    )


def test_printed_command_for_a_regexp_is_tried_before_it_is_shown(repository: Path) -> None:
    found = command_that_prints([cell(repository, "patternType:regexp x\\.[yz]", 1)])
    assert found is not None
    assert " -P " in found[0]
    assert command_that_prints([cell(repository, "patternType:regexp x\\.[yz]", 2)]) is None
    assert command_that_prints([cell(repository, "a OR b", 1)]) is None
