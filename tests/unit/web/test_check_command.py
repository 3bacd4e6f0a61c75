"""The command under a number counts exactly that number."""

import subprocess

import pytest

from api.web.check_command import check_of

_TEXT = b"urlopen(x) URLOPEN( a'b A'B\nurlopen(urlopen(\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """(folder with a space and a quote in its name, commit)."""
    folder = tmp_path_factory.mktemp("code") / "it's here"
    folder.mkdir()
    (folder / "a.py").write_bytes(_TEXT)
    (folder / "binary").write_bytes(b"\0" + _TEXT)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    head = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True)
    return str(folder), head.stdout.decode().strip()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("urlopen(", 4),
        ("urlopen( case:yes", 3),
        ("repo:code fork:yes urlopen(", 4),
        ("a'b", 2),
        ("content:urlopen", 4),
        ("absent", 0),
    ],
)
def test_the_command_counts(repository: tuple[str, str], query: str, expected: int) -> None:
    check = check_of(query, *repository)
    assert check.command
    ran = subprocess.run(["sh", "-c", check.command], check=True, capture_output=True)
    assert int(ran.stdout) == expected


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("a OR b", "AND, OR"),
        ("patternType:regexp a+", "regular expression"),
        ("lang:python a", "lang:"),
        ("file:x a", "file:"),
        ("a count:3", "count:"),
        ("straße", "ASCII"),
        ("type:path a", "paths"),
        ("lang:python", "lang:"),
        ("repo:x", "no pattern"),
    ],
)
def test_where_git_grep_counts_otherwise_no_command_is_shown(query: str, why: str) -> None:
    check = check_of(query, "/srv/code", "a" * 40)
    assert check.command == ""
    assert why in check.how


def test_a_clone_elsewhere_is_named() -> None:
    check = check_of("x", "https://git.example.com/a.git", "a" * 40)
    assert check.how == "In a clone of https://git.example.com/a.git:"
    assert check.command == "git grep -I -h -o -F -i -e x aaaaaaaaaaaa | wc -l"


def test_without_a_commit_there_is_nothing_to_check() -> None:
    assert check_of("x", "/srv/code", "").command == ""
