"""The home folder: versions, secrets, room on the disk, and the machine itself."""

import errno
import os
import stat
from pathlib import Path

import pytest

from infra.embedded.errors import (
    DataVersionMismatch,
    DiskFull,
    MissingProgram,
    UnsupportedPlatform,
    naming_disk_full,
)
from infra.embedded.home import (
    check_version,
    open_home,
    remembered_secret,
    require_space,
    write_private,
)
from infra.embedded.machine import check_platform, require_git


def test_a_new_home_is_private_and_hidden_from_git(tmp_path: Path) -> None:
    home = open_home(tmp_path / "a" / "home")
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    assert (home.folder / ".gitignore").read_text() == "*\n"


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o755)
    open_home(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = remembered_secret(path)
    assert len(secret) >= 30
    assert remembered_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\udc80")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_data_of_the_same_version_is_taken(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    check_version(home, {"kafka": "4.4", "postgres": "18"})
    check_version(home, {"kafka": "4.4", "postgres": "18"})


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ('{"layout": "1", "kafka": "4.4", "postgres": "17"}', "postgres 17"),
        ('{"layout": "0", "kafka": "4.4", "postgres": "18"}', "layout 0"),
        ('{"layout": "1", "postgres": "18"}', "kafka unknown"),
        ("[]", "layout unknown"),
        ("cut sho", "layout unknown"),
    ],
)
def test_data_of_another_version_is_refused_with_a_remedy(tmp_path: Path, written: str, named: str) -> None:
    home = open_home(tmp_path)
    home.version_file.write_text(written)
    with pytest.raises(DataVersionMismatch, match=named) as caught:
        check_version(home, {"kafka": "4.4", "postgres": "18"})
    assert f"mv {tmp_path}" in caught.value.remedy
    assert home.version_file.read_text() == written


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="1000000 MB are needed") as caught:
        require_space(tmp_path / "not" / "there", 10**12)
    assert "MILLSTREAM_HOME" in caught.value.remedy
    require_space(tmp_path, 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_left_becomes_disk_full(tmp_path: Path, number: int) -> None:
    with pytest.raises(DiskFull, match=str(tmp_path)), naming_disk_full(tmp_path):
        raise OSError(number, os.strerror(number))


def test_other_operating_system_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), naming_disk_full(tmp_path):
        raise PermissionError(errno.EACCES, "no")


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_supported_pythons(minor: int) -> None:
    check_platform(system="linux", machine="x86_64", python=(3, minor))


@pytest.mark.parametrize(
    ("system", "machine", "python", "said"),
    [
        ("darwin", "x86_64", (3, 12), "darwin"),
        ("linux", "aarch64", (3, 12), "aarch64"),
        ("linux", "x86_64", (3, 10), "3.10"),
        ("linux", "x86_64", (3, 15), "3.15"),
    ],
)
def test_unsupported_machines_hear_it_in_one_line(
    system: str, machine: str, python: tuple[int, int], said: str
) -> None:
    with pytest.raises(UnsupportedPlatform, match=said) as caught:
        check_platform(system=system, machine=machine, python=python)
    assert caught.value.remedy
    assert "\n" not in str(caught.value) + caught.value.remedy


def test_a_missing_git_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingProgram, match="git") as caught:
        require_git(str(tmp_path))
    assert "apt-get install git" in caught.value.remedy
    assert require_git().endswith("git")
