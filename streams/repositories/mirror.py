"""Mirrors: bare clones below the home folder, made whole or not at all, and fetched again (git CLI)."""

import errno
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from streams.repositories.location import (
    TRANSPORTS,
    CloneRefused,
    check_clone_url,
    mirror_path,
    without_credentials,
)
from streams.threads import Interrupt

_DROPPED: Final = frozenset(
    (
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_TRACE",
        "GIT_TRACE_CURL",
        "GIT_CURL_VERBOSE",
    )
)
_MESSAGE_CHARACTERS: Final = 500


class ClonePolicy(msgspec.Struct, frozen=True):
    """``timeout_s``: longest clone or fetch."""

    timeout_s: float = 3600.0


def ensure_mirror(
    home: Path, repository_id: int, clone_url: str, policy: ClonePolicy, interrupt: Interrupt | None = None
) -> Path:
    """The mirror's folder, cloned if it was not there. The caller holds the repository's partition.

    ``interrupt`` kills git. A draft's name is its own: a git that outlived its worker writes into no other's.

    Raises CloneRefused, with a reason: ``timeout``, ``disk-full``, ``clone-error`` or one of ``check_clone_url``.
    """
    check_clone_url(clone_url)
    mirror = mirror_path(home, repository_id)
    if mirror.is_dir():
        return mirror
    mirror.parent.mkdir(parents=True, exist_ok=True)
    for left in mirror.parent.glob(f".{repository_id}.*draft"):  # by a process that died
        shutil.rmtree(left, ignore_errors=True)
    draft = mirror.with_name(f".{repository_id}.{uuid4().hex}.draft")
    try:
        _git(["clone", "--mirror", "--quiet", "--", clone_url, str(draft)], policy, interrupt)
        draft.rename(mirror)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return mirror


def fetch_mirror(
    mirror: Path, clone_url: str, policy: ClonePolicy, interrupt: Interrupt | None = None
) -> None:
    """Bring an existing mirror up to date, deleted refs too. Raises CloneRefused."""
    check_clone_url(clone_url)
    git = ["-C", str(mirror)]
    _git([*git, "remote", "set-url", "origin", "--", clone_url], policy, interrupt)
    _git([*git, "remote", "update", "--prune"], policy, interrupt)


def check_reachable(clone_url: str, policy: ClonePolicy) -> None:
    """Whether git can read the repository at ``clone_url`` from here and now: nothing is kept. Raises CloneRefused."""
    check_clone_url(clone_url)
    _git(["ls-remote", "--quiet", "--", clone_url, "HEAD"], policy, None)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS),
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
    }


def _git(arguments: list[str], policy: ClonePolicy, interrupt: Interrupt | None) -> None:
    try:
        process = subprocess.Popen(
            ["git", "-c", "safe.directory=*", *arguments],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group of its own, so that helpers die with it
        )
    except FileNotFoundError as error:
        raise CloneRefused("no-git", "git was not found", remedy="Install git and put it on PATH.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno != errno.E2BIG:
            raise  # the machine's trouble, not the repository's
        raise CloneRefused("invalid-url", f"git cannot be asked for this URL: {error}") from error
    try:
        with (interrupt or Interrupt()).over(lambda: _kill(process)):
            _, errors = process.communicate(timeout=policy.timeout_s)
    except subprocess.TimeoutExpired as error:
        raise CloneRefused("timeout", f"git did not finish within {policy.timeout_s:.0f} s") from error
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait()
    if process.returncode == 0:
        return
    said = without_credentials(errors.decode(errors="replace")).strip()[-_MESSAGE_CHARACTERS:]
    reason = "disk-full" if "No space left on device" in said else "clone-error"
    raise CloneRefused(reason, said or f"git ended with code {process.returncode}")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Git and its helpers, unless it has ended."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
