"""Which repositories the demo takes, and what it says about those that it does not."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.demo.choices import (
    Chosen,
    EmptyRepository,
    NotARepository,
    NotReachable,
    ShallowClone,
    check_urls,
    from_text,
    inspect,
    standing_in,
)
from infra.embedded.errors import MissingProgram
from streams.repositories.location import CloneRefused
from tests.unit.demo.repositories import git, make_repository

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OLD = datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC)
FILES = {"a.txt": b"TODO\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "code" / "one", [(OLD, FILES), (NOW, {"b.txt": b"x"})])


def test_path_absolute_relative_and_bare(repository: Path, tmp_path: Path) -> None:
    bare = make_repository(tmp_path / "bare", [(OLD, FILES)], bare=True)
    choice = from_text(f"{repository} ../bare", folder=tmp_path / "code")
    assert [(found.path, found.oldest) for found in choice.repositories] == [(repository, OLD), (bare, OLD)]
    assert choice.repositories[0].name == f"local{repository}"
    assert choice.left_out == ()
    assert choice == from_text(f"code/one {bare}", folder=tmp_path)


def test_names_are_split_as_in_a_shell_and_counted_once(tmp_path: Path) -> None:
    path = make_repository(tmp_path / "with space", [(OLD, FILES)])
    choice = from_text(f"{shlex.quote(str(path))} 'with space'", folder=tmp_path)
    assert [found.path for found in choice.repositories] == [path]
    with pytest.raises(NotARepository, match="cannot be split"):
        from_text("'with space", folder=tmp_path)


def test_clone_urls(tmp_path: Path) -> None:
    choice = from_text("https://Git.Example.com/team/app.git git@git.example.com:team/lib", folder=tmp_path)
    assert [(found.name, found.clone_url) for found in choice.repositories] == [
        ("git.example.com/team/app", "https://Git.Example.com/team/app.git"),
        ("git.example.com/team/lib", "git@git.example.com:team/lib"),
    ]
    with pytest.raises(CloneRefused, match="credentials") as failure:
        from_text("https://me:secret@git.example.com/team/app", folder=tmp_path)
    assert "secret" not in str(failure.value)


def test_folder_of_repositories_leaves_out_what_cannot_be_counted(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    one = make_repository(folder / "one", [(OLD, FILES)])
    two = make_repository(folder / "group" / "two", [(NOW, FILES)])
    make_repository(folder / "empty", [])
    git(
        tmp_path,
        "clone",
        "--quiet",
        "--depth=1",
        make_repository(tmp_path / "far", [(OLD, FILES), (NOW, {"b": b""})]).as_uri(),
        str(folder / "cut"),
    )
    (folder / "notes").mkdir()
    choice = from_text(str(folder), folder=tmp_path)
    assert {found.path for found in choice.repositories} == {one, two}
    assert len(choice.left_out) == 2
    assert any("shallow" in line for line in choice.left_out)
    assert any("no commit" in line for line in choice.left_out)


def test_what_is_no_repository_is_refused_with_a_remedy(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "file.txt").write_text("")
    (repository / "src").mkdir()
    cases = {
        "plain": "no git repository",
        "file.txt": "is a file",
        "absent": "does not exist",
        "code/one/src": "is inside",
    }
    for name, words in cases.items():
        with pytest.raises(NotARepository, match=words) as failure:
            from_text(name, folder=tmp_path)
        assert failure.value.remedy
    assert f"REPO={repository}" in failure.value.remedy


def test_shallow_and_empty_are_refused_when_named(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(tmp_path / "cut"))
    with pytest.raises(ShallowClone) as shallow:
        from_text("cut", folder=tmp_path)
    assert shallow.value.remedy == f"git -C {tmp_path}/cut fetch --unshallow"
    make_repository(tmp_path / "empty", [])
    with pytest.raises(EmptyRepository):
        from_text("empty", folder=tmp_path)


def test_shallow_and_empty_are_left_out_when_others_remain(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(tmp_path / "cut"))
    make_repository(tmp_path / "empty", [])
    choice = from_text(f"empty {repository} cut", folder=tmp_path)
    assert [found.path for found in choice.repositories] == [repository]
    assert ["no commit" in choice.left_out[0], "fetch --unshallow" in choice.left_out[1]] == [True, True]
    with pytest.raises(EmptyRepository):
        from_text("empty cut", folder=tmp_path)


def test_oldest_is_along_first_parents(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "--orphan", "elsewhere")
    git(repository, "commit", "--quiet", "--message", "Old import", when=datetime(2001, 1, 1, tzinfo=UTC))
    git(repository, "checkout", "--quiet", "main")
    git(
        repository,
        "merge",
        "--quiet",
        "--allow-unrelated-histories",
        "--strategy=ours",
        "--message",
        "Join",
        "elsewhere",
        when=NOW,
    )
    assert inspect(repository).oldest == OLD


def test_standing_in_needs_sixty_days_of_full_history(repository: Path, tmp_path: Path) -> None:
    (repository / "src").mkdir()
    assert [found.path for found in standing_in(repository / "src", NOW).repositories] == [repository]
    young = standing_in(repository, OLD + timedelta(days=59, hours=23))
    assert young.repositories == ()
    assert "59 days" in young.left_out[0]
    (tmp_path / "plain").mkdir()
    assert "in no git repository" in standing_in(tmp_path / "plain", NOW).left_out[0]
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(tmp_path / "cut"))
    assert "shallow" in standing_in(tmp_path / "cut", NOW).left_out[0]
    git(repository, "config", "remote.origin.promisor", "true")
    assert "partial clone" in standing_in(repository, NOW).left_out[0]


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(MissingProgram, match="no git"):
        inspect(repository)


def test_a_clone_url_that_git_cannot_read_is_refused(repository: Path, tmp_path: Path) -> None:
    check_urls([Chosen("local/one", path=tmp_path / "nowhere"), Chosen("a/b", clone_url=repository.as_uri())])
    nowhere = Chosen("a/c", clone_url=(tmp_path / "no where's").as_uri())
    with pytest.raises(NotReachable, match="nothing was registered") as failure:
        check_urls([nowhere], otherwise="; or another way")
    assert failure.value.remedy == f"See what git says: git ls-remote {nowhere.clone_url}; or another way"
    with pytest.raises(NotReachable, match="credentials") as failure:
        check_urls([Chosen("a/d", clone_url="https://me:secret@git.example.com/team/app")])
    assert "secret" not in f"{failure.value}{failure.value.remedy}"
