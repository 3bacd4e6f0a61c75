"""Kafka's jars: pinned by a lock of coordinates and SHA-256, fetched through jgo, kept in the user's cache folder."""

import fcntl
import functools
import hashlib
import os
import shutil
import ssl
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import ChecksumMismatch, RegistryUnreachable, StackError, naming_disk_full
from infra.embedded.home import require_space

LOCK_FILE = Path(__file__).with_name("kafka-jars.lock.toml")
MIRROR_VARIABLE = "MILLSTREAM_MAVEN_REPOSITORY"
_PARALLEL_DOWNLOADS = 4
_PROGRESS_STEP = 0.2
_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
"""Where Debian, Fedora and SUSE keep the certificates of the authorities that the machine trusts."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked jar."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


@dataclass(frozen=True, slots=True)
class Jars:
    """The locked jars on this machine."""

    paths: list[Path]
    """In class path order."""
    download_s: float
    """Seconds that it took to fetch them; 0 when all were there."""


@functools.cache
def locked_jars(lock_file: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """The jars of the lock, in class path order."""
    jars = []
    for entry in tomllib.loads(lock_file.read_text(encoding="utf-8"))["jars"]:
        group, artifact, version = entry["coordinate"].split(":")
        jars.append(Jar(group, artifact, version, int(entry["size_bytes"]), entry["sha256"]))
    return tuple(jars)


def locked_version(artifact: str, jars: tuple[Jar, ...] | None = None) -> str:
    """The locked version of an artifact, for example of ``kafka_2.13``."""
    for jar in locked_jars() if jars is None else jars:
        if jar.artifact == artifact:
            return jar.version
    raise StackError(f"{artifact} is not in {LOCK_FILE.name}", remedy="restore the file from version control")


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """``$XDG_CACHE_HOME/millstream``, else ``~/.cache/millstream``."""
    base = (os.environ if environ is None else environ).get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "millstream"


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_verified(path: Path, jar: Jar) -> bool:
    """Whether this file is the locked jar, byte for byte."""
    return path.is_file() and path.stat().st_size == jar.size_bytes and sha256_of(path) == jar.sha256


def ensure_jars(
    report: Callable[[str], None],
    *,
    jars: tuple[Jar, ...] | None = None,
    cache: Path | None = None,
    fetch: Callable[[Jar, Path], Path] | None = None,
) -> Jars:
    """The locked jars as files; those missing in the cache are downloaded first.

    Every file is checked against the lock at every start, so a damaged cache heals itself. Needs no network when all are there.

    Args:
        report: gets the size before the download and its progress, in plain lines.
        fetch: downloads one jar below a scratch folder and returns its path (jgo by default).

    Raises:
        RegistryUnreachable: a jar could not be downloaded.
        ChecksumMismatch: what came is not what the lock names.
        DiskFull: too little room in the cache folder.
    """
    wanted = locked_jars() if jars is None else jars
    folder = (cache or cache_folder()) / f"kafka-{locked_version('kafka_2.13', wanted)}"
    paths = [folder / jar.file_name for jar in wanted]
    missing = _unverified(wanted, folder)
    if not missing:
        return Jars(paths, 0.0)
    began = time.monotonic()
    needed_bytes = sum(jar.size_bytes for jar in missing)
    require_space(folder, 2 * needed_bytes + 10_000_000)
    with naming_disk_full(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(folder / ".lock"):
            missing = _unverified(wanted, folder)  # another start may have been quicker
            if missing:
                with _system_certificates():
                    _download(missing, folder, report, fetch or fetch_with_jgo)
    return Jars(paths, time.monotonic() - began)


def _unverified(jars: tuple[Jar, ...], folder: Path) -> list[Jar]:
    return [jar for jar in jars if not is_verified(folder / jar.file_name, jar)]


def _download(
    missing: list[Jar], folder: Path, report: Callable[[str], None], fetch: Callable[[Jar, Path], Path]
) -> None:
    total_bytes = sum(jar.size_bytes for jar in missing)
    report(f"Fetching Apache Kafka: {len(missing)} jars, {total_bytes / 1e6:.0f} MB, once, to {folder}")
    scratch = folder / f".download-{os.getpid()}"
    done_bytes, said = 0, 0.0
    try:
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS, thread_name_prefix="jars") as pool:
            futures = {pool.submit(_fetch_verified, jar, scratch, folder, fetch): jar for jar in missing}
            try:
                for count, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    done_bytes += futures[future].size_bytes
                    share = done_bytes / total_bytes
                    if share >= said + _PROGRESS_STEP or count == len(missing):
                        said = share
                        report(
                            f"  {count} of {len(missing)} jars, {done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB"
                        )
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch_verified(jar: Jar, scratch: Path, folder: Path, fetch: Callable[[Jar, Path], Path]) -> None:
    try:
        with naming_disk_full(folder):
            downloaded = fetch(jar, scratch)
    except (OSError, RuntimeError) as error:
        raise RegistryUnreachable(
            f"could not download {jar.coordinate}: {_cause(error)}",
            remedy=f"check the network (HTTPS_PROXY and REQUESTS_CA_BUNDLE are honoured), or set {MIRROR_VARIABLE} to a mirror of Maven Central",
        ) from error
    if not is_verified(downloaded, jar):
        raise ChecksumMismatch(
            f"{jar.coordinate} has SHA-256 {sha256_of(downloaded)}, the lock says {jar.sha256}",
            remedy="try again; if it stays so, the registry or a proxy on the way alters files: do not use it",
        )
    with naming_disk_full(folder):
        shutil.move(downloaded, folder / jar.file_name)


def _cause(error: BaseException) -> str:
    """The innermost reason that the HTTP library gives, in one line."""
    text = str(error).rpartition("(Caused by ")[2]
    lines = text.splitlines()
    return lines[0][:300] if lines else type(error).__name__


def fetch_with_jgo(jar: Jar, scratch: Path) -> Path:
    """Download one jar below ``scratch`` by its Maven coordinate; a copy in the user's Maven folder is taken instead."""
    # Imported late: only a first start needs it, and it takes a quarter of a second.
    from jgo.constants import default_maven_repo
    from jgo.maven import MavenContext

    mirror = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
    context = MavenContext(
        repo_cache=scratch,
        remote_repos={"central": mirror} if mirror else None,
    )
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    installed: Path = default_maven_repo() / component.path_prefix / jar.file_name
    if is_verified(installed, jar):
        scratch.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(installed, scratch / jar.file_name))
    return Path(component.artifact().resolve())


@contextmanager
def _system_certificates() -> Iterator[None]:
    """Trust what the machine trusts, as pip and git do: behind a company's proxy the list in the HTTP library is not enough."""
    name, bundle = "REQUESTS_CA_BUNDLE", ssl.get_default_verify_paths().cafile or ""
    candidates = [path for path in (bundle, *_CERTIFICATES) if path and Path(path).is_file()]
    if name in os.environ or not candidates:
        yield
        return
    os.environ[name] = candidates[0]
    try:
        yield
    finally:
        os.environ.pop(name, None)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """One process at a time; the kernel lets go when the holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
