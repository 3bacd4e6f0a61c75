"""Kafka's jars: what the lock says, what is downloaded, and what happens when something else comes."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.embedded.errors import ChecksumMismatch, DiskFull, RegistryUnreachable
from infra.embedded.jars import LOCK_FILE, Jar, cache_folder, ensure_jars, locked_jars, locked_version
from infra.embedded.lock_jars import lock_text


def _jar(name: str, content: bytes) -> Jar:
    return Jar("org.example", name, "4.4.0", len(content), hashlib.sha256(content).hexdigest())


CONTENTS = {"kafka_2.13": b"broker" * 100, "kafka-clients": b"clients" * 50, "slf4j-api": b"log"}
JARS = tuple(_jar(name, content) for name, content in CONTENTS.items())


class Registry:
    """Serves the contents and counts what was asked for."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents
        self.asked: list[str] = []

    def fetch(self, jar: Jar, scratch: Path) -> Path:
        self.asked.append(jar.artifact)
        scratch.mkdir(parents=True, exist_ok=True)
        path = scratch / jar.file_name
        path.write_bytes(self.contents[jar.artifact])
        return path


def _ensure(
    cache: Path,
    fetch: Callable[[Jar, Path], Path],
    said: list[str] | None = None,
    jars: tuple[Jar, ...] = JARS,
) -> list[Path]:
    return ensure_jars((said if said is not None else []).append, jars=jars, cache=cache, fetch=fetch).paths


def test_the_committed_lock_pins_kafka_and_names_no_host() -> None:
    jars = locked_jars()
    assert locked_version("kafka_2.13") == "4.4.0"
    assert len({jar.file_name for jar in jars}) == len(jars) == 45
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert 40e6 < sum(jar.size_bytes for jar in jars) < 50e6
    assert "//" not in LOCK_FILE.read_text()


def test_the_size_is_said_before_the_download_and_progress_after(tmp_path: Path) -> None:
    said: list[str] = []
    registry = Registry(CONTENTS)

    def fetch(jar: Jar, scratch: Path) -> Path:
        assert "3 jars" in said[0]
        return registry.fetch(jar, scratch)

    paths = _ensure(tmp_path, fetch, said)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert said[-1].strip().startswith("3 of 3 jars")
    assert [path.name for path in paths[0].parent.iterdir() if path.name.startswith(".download")] == []


def test_a_second_start_asks_for_nothing(tmp_path: Path) -> None:
    _ensure(tmp_path, Registry(CONTENTS).fetch)
    registry, said = Registry(CONTENTS), list[str]()
    again = ensure_jars(said.append, jars=JARS, cache=tmp_path, fetch=registry.fetch)
    assert again.download_s == 0
    assert registry.asked == []
    assert said == []


def test_a_damaged_jar_is_fetched_again_and_only_that(tmp_path: Path) -> None:
    paths = _ensure(tmp_path, Registry(CONTENTS).fetch)
    paths[1].write_bytes(b"x" * JARS[1].size_bytes)
    registry = Registry(CONTENTS)
    _ensure(tmp_path, registry.fetch)
    assert registry.asked == ["kafka-clients"]
    assert paths[1].read_bytes() == CONTENTS["kafka-clients"]


def test_what_the_lock_does_not_name_is_never_used(tmp_path: Path) -> None:
    with pytest.raises(ChecksumMismatch, match="slf4j-api"):
        _ensure(tmp_path, Registry({**CONTENTS, "slf4j-api": b"bad"}).fetch)
    assert not (tmp_path / "kafka-4.4.0" / "slf4j-api-4.4.0.jar").exists()
    assert list((tmp_path / "kafka-4.4.0").glob(".download*")) == []


@pytest.mark.parametrize(
    "error", [ConnectionError("name or service not known"), RuntimeError("Could not resolve artifact")]
)
def test_an_unreachable_registry_is_said_with_a_remedy(tmp_path: Path, error: Exception) -> None:
    def fetch(jar: Jar, scratch: Path) -> Path:
        raise error

    with pytest.raises(RegistryUnreachable, match=str(error)) as caught:
        _ensure(tmp_path, fetch)
    assert "MILLSTREAM_MAVEN_REPOSITORY" in caught.value.remedy


def test_a_download_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    huge = Jar("org.example", "kafka_2.13", "4.4.0", 10**15, "0" * 64)
    registry = Registry(CONTENTS)
    with pytest.raises(DiskFull):
        _ensure(tmp_path, registry.fetch, jars=(huge,))
    assert registry.asked == []


def test_a_disk_that_fills_up_is_named(tmp_path: Path) -> None:
    def fetch(jar: Jar, scratch: Path) -> Path:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull):
        _ensure(tmp_path, fetch)


def test_the_cache_is_the_users() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/millstream")
    assert cache_folder({"XDG_CACHE_HOME": ""}) == Path.home() / ".cache" / "millstream"


def test_the_lock_is_written_as_it_is_read(tmp_path: Path) -> None:
    jar = tmp_path / "kafka_2.13-9.9.9.jar"
    jar.write_bytes(b"abc")
    lock = tmp_path / "lock.toml"
    lock.write_text(lock_text("org.example:kafka_2.13:9.9.9", [("org.example:kafka_2.13:9.9.9", jar)]))
    assert locked_jars(lock) == (
        Jar("org.example", "kafka_2.13", "9.9.9", 3, hashlib.sha256(b"abc").hexdigest()),
    )
