"""When Java writes a cache of classes, when it uses it, and what a start does with one that was written."""

from pathlib import Path

import pytest

from infra.embedded.class_cache import cache_file, java_options, keep
from infra.embedded.java import Java

NEW = Java(Path("/j/bin/java"), (25, 0, 2))
OLD = Java(Path("/usr/bin/java"), (17, 0, 15))


@pytest.fixture
def jars(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "cache"
    folder.mkdir()
    return [folder / "a.jar", folder / "b.jar"]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def test_the_first_broker_writes_it_the_next_one_uses_it(jars: list[Path], scratch: Path) -> None:
    draft = scratch / "classes.aot"
    assert java_options(NEW, jars, scratch) == (f"-XX:AOTCacheOutput={draft}",)
    draft.write_bytes(b"classes")
    assert keep(NEW, jars, scratch)
    kept = cache_file(NEW, jars)
    assert kept is not None
    assert kept.read_bytes() == b"classes"
    assert java_options(NEW, jars, scratch) == (f"-XX:AOTCache={kept}",)
    assert not draft.exists()
    assert not keep(NEW, jars, scratch), "nothing new was written"
    assert list(kept.parent.iterdir()) == [kept]


def test_another_java_or_other_jars_have_a_cache_of_their_own(jars: list[Path]) -> None:
    files = {
        cache_file(NEW, jars),
        cache_file(Java(NEW.path, (25, 0, 3)), jars),
        cache_file(Java(Path("/k/bin/java"), NEW.version), jars),
        cache_file(NEW, jars[:1]),
    }
    assert len(files) == 4


def test_a_java_that_writes_none_is_asked_for_none(jars: list[Path], scratch: Path) -> None:
    assert java_options(OLD, jars, scratch) == ()
    (scratch / "classes.aot").write_bytes(b"classes")
    assert not keep(OLD, jars, scratch)


def test_where_there_is_no_room_starts_stay_as_they_are(jars: list[Path], scratch: Path) -> None:
    (scratch / "classes.aot").write_bytes(b"classes")
    kept = cache_file(NEW, jars)
    assert kept is not None
    kept.mkdir()  # nothing can take its place
    (kept / "full").touch()
    assert not keep(NEW, jars, scratch)
