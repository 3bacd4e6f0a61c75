"""Which Java is taken."""

from pathlib import Path

import pytest

from infra.embedded.java import find_java, java_major, parse_java_version


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_402"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx=1\nopenjdk version "25.0.2" 2026-01-20', 25),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_versions_are_read_from_what_java_says(text: str, major: int | None) -> None:
    assert parse_java_version(text) == major


def _fake_java(folder: Path, version: str) -> None:
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    path.chmod(0o755)


def test_a_new_enough_java_on_the_path_is_taken(tmp_path: Path) -> None:
    _fake_java(tmp_path, "17.0.1")
    assert find_java(str(tmp_path)).path == tmp_path / "java"


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_402", "nonsense"])
def test_the_wheel_is_taken_instead_of_an_old_one(tmp_path: Path, version: str) -> None:
    _fake_java(tmp_path, version)
    java = find_java(str(tmp_path))
    assert java.path != tmp_path / "java"
    assert java_major(java.path) == java.major >= 17


def test_the_wheel_is_taken_when_there_is_none(tmp_path: Path) -> None:
    assert find_java(str(tmp_path)).major >= 17


def test_a_java_that_cannot_run_has_no_version(tmp_path: Path) -> None:
    assert java_major(tmp_path / "java") is None
