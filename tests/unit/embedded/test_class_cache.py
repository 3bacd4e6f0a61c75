"""When Java writes a cache of classes, when it uses it, and what a start does with one that was written."""

import os
import time
from pathlib import Path

import pytest

from infra.embedded.class_cache import cache_file, java_options, keep
from infra.embedded.java import Java

NEW = Java(Path("/j/bin/java"), (25, 0, 2))
OLD = Java(Path("/usr/bin/java"), (17, 0, 15))
ASKED_TO = 143
"""Java's exit code when it was asked to end."""


@pytest.fixture
def jars(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "cache"
    folder.mkdir()
    jars = [folder / "a.jar", folder / "b.jar"]
    for jar in jars:
        jar.touch()
    return jars


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def test_the_first_broker_writes_it_the_next_one_uses_it(jars: list[Path], scratch: Path) -> None:
    draft = scratch / "classes.aot"
    assert java_options(NEW, jars, scratch) == (f"-XX:AOTCacheOutput={draft}",)
    draft.write_bytes(b"classes")
    assert keep(NEW, jars, scratch, ASKED_TO)
    kept = cache_file(NEW, jars)
    assert kept is not None
    assert kept.read_bytes() == b"classes"
    assert java_options(NEW, jars, scratch) == (f"-XX:AOTCache={kept}",)
    assert not draft.exists()
    assert not keep(NEW, jars, scratch, ASKED_TO), "nothing new was written"
    assert sorted(kept.parent.iterdir()) == sorted([*jars, kept])


@pytest.mark.parametrize("code", [-9, 1, None])
def test_what_a_killed_broker_was_writing_is_not_kept(
    jars: list[Path], scratch: Path, code: int | None
) -> None:
    (scratch / "classes.aot").write_bytes(b"cla")
    assert not keep(NEW, jars, scratch, code)
    assert java_options(NEW, jars, scratch)[0].startswith("-XX:AOTCacheOutput=")


def test_a_cache_that_nobody_has_read_for_a_month_goes(jars: list[Path], scratch: Path) -> None:
    unread, read = (jars[0].with_name(f"classes-{name}.aot") for name in ("unread", "read"))
    for one in (unread, read):
        one.touch()
    month_ago_s = time.time() - 31 * 24 * 3600
    os.utime(unread, (month_ago_s, month_ago_s))
    (scratch / "classes.aot").write_bytes(b"classes")
    assert keep(NEW, jars, scratch, ASKED_TO)
    assert (unread.exists(), read.exists()) == (False, True)


def test_another_java_or_other_jars_have_a_cache_of_their_own(jars: list[Path]) -> None:
    files = {
        cache_file(NEW, jars),
        cache_file(Java(NEW.path, (25, 0, 3)), jars),
        cache_file(Java(Path("/k/bin/java"), NEW.version), jars),
        cache_file(NEW, jars[:1]),
    }
    os.utime(jars[0], (1, 1))  # downloaded again: Java refuses the cache of the other one
    files.add(cache_file(NEW, jars))
    assert len(files) == 5


def test_a_java_that_writes_none_is_asked_for_none(jars: list[Path], scratch: Path) -> None:
    assert java_options(OLD, jars, scratch) == ()
    (scratch / "classes.aot").write_bytes(b"classes")
    assert not keep(OLD, jars, scratch, ASKED_TO)


def test_where_there_is_no_room_starts_stay_as_they_are(jars: list[Path], scratch: Path) -> None:
    (scratch / "classes.aot").write_bytes(b"classes")
    kept = cache_file(NEW, jars)
    assert kept is not None
    kept.mkdir()  # nothing can take its place
    (kept / "full").touch()
    assert not keep(NEW, jars, scratch, ASKED_TO)
