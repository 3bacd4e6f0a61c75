"""Work trees, borrowed objects, both hashes, configuration, branches, and what is no repository."""

from datetime import datetime
from pathlib import Path

import pytest

from streams.search.engine import (
    EngineError,
    default_branch,
    describe,
)
from tests.integration.search.counting import (
    count,
    day,
    one_commit,
    values,
)
from tests.support.repositories import (
    RepositoryBuilder,
    bare_clone,
    git,
)


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
    repository = one_commit(
        tmp_path, {"a": b"TODO\r\n", ".gitattributes": b"* text eol=crlf ident filter=x diff=x\n"}
    )
    for name, value in (("diff.x.textconv", "false"), ("filter.x.smudge", "false"), ("core.autocrlf", "true"), ("diff.renames", "true"), ("core.abbrev", "5")):  # fmt: skip
        git(repository, "config", name, value)
    assert values(
        count(repository, "patternType:regexp TODO\\r", at=[day(2)]), "patternType:regexp TODO\\r"
    ) == [1]


def test_captured_values_over_time(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repo")
    builder.commit(day(1), {"go.mod": "go 1.20\n", "x/go.mod": "go 1.20\n"})
    builder.commit(day(2), {"go.mod": "go 1.21\n"})
    query = "file:go\\.mod$ ^go ([0-9.]+)$"
    result = count(builder.build(), query, at=[day(0), day(1), day(2)], pattern_type="regexp", kind="capture")
    assert result.captures[query] == ({}, {"1.20": 2}, {"1.20": 1, "1.21": 1})
    assert values(result, query) == [0, 2, 2]


def test_names_and_dates_that_only_git_takes(tmp_path: Path) -> None:
    repository = one_commit(tmp_path, {"a": b"TODO"})
    for name in ("line\u2028separator", "next\u0085line"):
        git(repository, "branch", name, "main")
    tree = git(repository, "rev-parse", "main^{tree}").decode().strip()
    text = f"tree {tree}\nauthor A <a@example.com> 0 +0000\ncommitter A <a@example.com> 999999999999999 +0000\n\nx\n"
    commit = (
        git(repository, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode()).decode().strip()
    )
    git(repository, "update-ref", "refs/heads/main", commit)
    state = describe(repository)
    assert (state.default_branch, state.tip) == ("main", commit)
    assert state.last_commit_at is not None
    assert state.last_commit_at.year == 9999
    assert values(count(repository, "TODO", at=[day(2)]), "TODO") == [0]


def test_what_is_no_repository(tmp_path: Path) -> None:
    inside = one_commit(tmp_path, {"a": b"TODO"}) / "hooks"
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
