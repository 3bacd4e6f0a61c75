"""Running git so that nothing but the repository's objects and refs decides the answer."""

import fcntl
import io
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from streams.search.protocol import EngineError

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "GIT_EXEC_PATH")


def environment() -> dict[str, str]:
    """No system or user configuration, no locks, no replacement objects, no fetching of what is missing."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        # Older versions of git know no switch against lazy fetching: allow no transport at all.
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
    }


class Git:
    """git in one repository: a work tree, a bare one, or one that borrows objects from another."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        # Only the folder itself: a folder inside a repository is none.
        self._environment = {**environment(), "GIT_CEILING_DIRECTORIES": str(repository.resolve().parent)}
        self._command = (
            "git",
            "-C",
            str(repository),
            "-c",
            "safe.directory=*",
            "-c",
            "core.deltaBaseCacheLimit=256m",
            "-c",
            "core.bigFileThreshold=16m",
        )

    def run(self, *arguments: str, check: bool = True) -> bytes:
        """Output of a short command. Raises EngineError on failure when ``check``, else gives b""."""
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise EngineError("git was not found", remedy="Install git and put it on PATH.") from None
        if done.returncode == 0:
            return done.stdout
        if not check:
            return b""
        raise EngineError(
            f"git {arguments[0]} failed in {self.repository}: {done.stderr.decode(errors='replace').strip()}",
            remedy="See whether the folder is a readable git repository: git -C FOLDER fsck",
        )

    def start(self, arguments: Sequence[str], stdin: IO[bytes] | int = subprocess.DEVNULL) -> "Process":
        """A long command whose output is read as it comes."""
        try:
            return Process(
                subprocess.Popen(
                    [*self._command, *arguments],
                    env=self._environment,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=_PIPE_BYTES,
                )
            )
        except FileNotFoundError:
            raise EngineError("git was not found", remedy="Install git and put it on PATH.") from None


class Process:
    """A running git; ended for certain when the ``with`` block is left."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        if not isinstance(popen.stdout, io.BufferedReader):
            raise EngineError("git was started without a pipe to read from")
        self._popen = popen
        self.stdout = popen.stdout
        self.was_killed = False
        _widen(self.stdout.fileno())

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()

    def kill(self) -> None:
        """End it now; the reader sees the end of the output."""
        self.was_killed = True
        self._popen.kill()

    def ended_well(self) -> bool:
        """Wait for the end, all output being read. True for exit code 0."""
        return self._popen.wait() == 0


def _widen(descriptor: int) -> None:
    """A larger pipe spares context switches; the system may refuse, which costs speed only."""

    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        return
