"""Three sample repositories, made with ``git fast-import`` below the home folder.

Deterministic for a month: the same month gives the same commit ids on every machine. In the next month the same repositories get a
new history under the same names; the earlier one stays reachable under ``refs/samples/``, so that recorded commits can be checked.
"""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from api.demo.sample_history import MAIN, Commit, Sample, history
from api.demo.sample_sources import GO, PYTHON, TYPESCRIPT
from infra.embedded.errors import MissingProgram, naming_disk_full
from schemas.errors import MillstreamError

SAMPLES: Final = (
    Sample("sample/checkout", PYTHON, "checkout", 60, 84, centre=0.70, width=0.060),
    Sample("sample/catalog", GO, "services", 48, 70, centre=0.78, width=0.045),
    Sample("sample/payments", TYPESCRIPT, "lib", 40, 64, centre=0.86, width=0.040),
)
GENERATOR_VERSION: Final = 1
"""Raised when the same month would give other commits."""
OLD_API: Final = "legacy_client."
NEW_API: Final = "gateway."
_PRESENT: Final = "present.txt"
_ENTRY: Final = b"\t" + _PRESENT.encode()
_CALL: Final = f"{NEW_API}call".encode()


class SampleFailed(MillstreamError):
    """A sample repository could not be made."""


@dataclass(frozen=True, slots=True)
class SampleRepository:
    """A sample on disk. ``path`` is a bare repository; ``made`` says that it was made just now."""

    name: str
    path: Path
    tip: str
    made: bool


def month_of(instant: datetime) -> datetime:
    """The first of the month (UTC) in which ``instant`` lies."""
    return instant.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def make_samples(folder: Path, now: datetime, samples: Iterable[Sample] = SAMPLES) -> list[SampleRepository]:
    """Make the sample repositories of this month in ``folder``, those that are not there yet.

    Raises:
        MissingProgram: no git on this machine.
        DiskFull: no room.
        SampleFailed: git refused.
    """
    if shutil.which("git") is None:
        raise MissingProgram(
            "there is no git on this machine",
            remedy="install git (for example: apt install git) and try again",
        )
    with naming_disk_full(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return [_make(folder, sample, month_of(now)) for sample in samples]


def _make(folder: Path, sample: Sample, month: datetime) -> SampleRepository:
    path = folder / f"{sample.name.rpartition('/')[2]}.git"
    of_month = f"refs/samples/v{GENERATOR_VERSION}/{month:%Y-%m}"
    if path.exists():
        tip, made_before = _resolve(path, MAIN), _resolve(path, of_month)
        if made_before is not None and tip is not None and _is_ancestor(path, made_before, tip):
            return SampleRepository(sample.name, path, tip, made=False)  # with what was committed since
        _import(path, history(sample, month), of_month)
        return _finished(sample, path, of_month)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as scratch:
        new = Path(scratch) / "repository.git"
        _git(
            "init",
            "--quiet",
            "--bare",
            "--object-format=sha1",
            "--initial-branch=main",
            "--template=",
            str(new),
        )
        _import(new, history(sample, month), of_month)
        new.rename(path)  # whole or not at all
    return _finished(sample, path, of_month)


def _finished(sample: Sample, path: Path, of_month: str) -> SampleRepository:
    tip = _resolve(path, of_month)
    if tip is None:
        raise SampleFailed(f"{path} was not made", remedy=f"remove {path} and try again")
    return SampleRepository(sample.name, path, tip, made=True)


def fast_import_stream(commits: Iterable[Commit], of_month: str) -> bytes:
    """The commits as input of ``git fast-import``; ``of_month`` is a second name for the tip of main."""
    parts: list[bytes] = []
    for commit in commits:
        who = f"{commit.author[0]} <{commit.author[1]}> {int(commit.when.timestamp())} +0000"
        message = f"{commit.message}\n".encode()
        head = (
            f"commit {commit.ref}\nmark :{commit.mark}\nauthor {who}\ncommitter {who}\ndata {len(message)}\n"
        )
        parts += [head.encode(), message]
        for word, parent in zip(("from", "merge"), commit.parents, strict=False):
            parts.append(f"{word} :{parent}\n".encode())
        parts += [f"R {old} {new}\n".encode() for old, new in commit.renames]
        for path, text in commit.files.items():
            data = text.encode()
            parts += [f"M 100644 inline {path}\ndata {len(data)}\n".encode(), data, b"\n"]
        parts.append(b"\n")
    parts.append(f"reset {of_month}\nfrom {MAIN}\n\ndone\n".encode())
    return b"".join(parts)


def _import(path: Path, commits: list[Commit], of_month: str) -> None:
    stream = fast_import_stream(commits, of_month)
    _git("fast-import", "--quiet", "--force", "--done", "--date-format=raw", repository=path, data=stream)


def commit_one_call(path: Path) -> str:
    """Commit one more call of the new API on the main branch of a sample; the commit.

    Raises:
        SampleFailed: git refused.
    """
    calls = _git("ls-tree", MAIN, _PRESENT, repository=path).decode().split()
    before = _git("cat-file", "blob", calls[2], repository=path) if calls else b""
    number = before.count(b"\n") + 1
    blob = _written(
        "hash-object", "-w", "--stdin", repository=path, data=before + b"%s(%d)\n" % (_CALL, number)
    )
    others = [
        line for line in _git("ls-tree", MAIN, repository=path).splitlines() if not line.endswith(_ENTRY)
    ]
    tree = _written(
        "mktree", repository=path, data=b"\n".join([*others, b"100644 blob " + blob.encode() + _ENTRY, b""])
    )
    message = f"Call the gateway once more ({number})"
    commit = _written("commit-tree", tree, "-p", MAIN, "-m", message, repository=path)
    _git("update-ref", MAIN, commit, repository=path)
    return commit


def head_of(path: Path) -> str:
    """The commit at which a sample stands. Raises SampleFailed."""
    return _written("rev-parse", "--verify", f"{MAIN}^{{commit}}", repository=path)


def files_at(path: Path, commit: str) -> dict[str, str]:
    """Every file of a sample at a commit: its text by its path. Raises SampleFailed."""
    archive = _git("archive", "--format=tar", commit, repository=path)
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        return {
            member.name: content.read().decode()
            for member in found
            if (content := found.extractfile(member)) is not None
        }


def _is_ancestor(path: Path, commit: str, tip: str) -> bool:
    command = ["git", "--git-dir", str(path), "merge-base", "--is-ancestor", commit, tip]
    return subprocess.run(command, capture_output=True, check=False, env=_environment()).returncode == 0


def _written(*arguments: str, repository: Path, data: bytes = b"") -> str:
    """The object id that git printed."""
    return _git(*arguments, repository=repository, data=data).decode().strip()


def _resolve(path: Path, ref: str) -> str | None:
    done = subprocess.run(
        ["git", "--git-dir", str(path), "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    return done.stdout.strip() or None


def _git(*arguments: str, repository: Path | None = None, data: bytes = b"") -> bytes:
    place = [] if repository is None else ["--git-dir", str(repository)]
    done = subprocess.run(
        ["git", *place, *arguments], input=data, capture_output=True, check=False, env=_environment()
    )
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise SampleFailed(
            f"git {arguments[0]} failed: {reason[0]}",
            remedy="check the disk's free space, and that git is 2.30 or newer (git --version)",
        )
    return done.stdout


def _environment() -> dict[str, str]:
    """Without the user's git configuration and without variables of a surrounding git command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = {
        f"GIT_{role}_{what}": text
        for role in ("AUTHOR", "COMMITTER")
        for what, text in (("NAME", "Millstream demo"), ("EMAIL", "demo@example.com"))
    }
    return {**kept, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
