"""Programs of ours as processes of their own, without loading them anew each time: a second of processor time less for every start.

A process that has loaded them (the fork server of ``multiprocessing``) forks for each; what runs is the program's ``main`` with its
arguments and environment, as from the command line. Who is started so dies with the fork server, which ends with the tests.
"""

import atexit
import importlib
import multiprocessing
import multiprocessing.util
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, TextIO
from weakref import WeakSet

from infra.members import die_with

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "api.cli.main",
        "api.cli.projection_commands",
        "api.cli.worker_commands",
        "projections.process",
        "streams.app_process",
        "streams.hands",
        "streams.heads",
    ]
)


ROOT: Final = Path(__file__).parents[2]
_SERVER_GONE: Final = 255
"""What ``multiprocessing`` says of a child whose fork server has ended; no program of ours ends so."""
_running: "WeakSet[Program]" = WeakSet()


class Program:
    """A running one, as ``subprocess.Popen`` shows it. ``arguments`` begin with its module, whose ``main`` is called."""

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        folder: Path = ROOT,
    ) -> None:
        standard = tuple(DupFd(one) for one in (stdin, stdout, stderr))
        self._process = _CONTEXT.Process(
            target=_run, args=(tuple(arguments), dict(environ), str(folder), standard)
        )
        self._process.start()
        _running.add(self)

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    @property
    def returncode(self) -> int | None:
        """Its exit code (negative: the signal that ended it); None while it runs."""
        code = self._process.exitcode
        if code == _SERVER_GONE:
            raise RuntimeError("the fork server has ended, and this program with it")
        return code

    def poll(self) -> int | None:
        """As ``returncode``."""
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Its exit code. Raises ``subprocess.TimeoutExpired``."""
        self._process.join(timeout_s)
        code = self.returncode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout_s or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens when it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def talking(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[Program, TextIO]:
    """A program that stays, and what it writes to standard output and error."""
    reading, writing = os.pipe()
    with Path(os.devnull).open() as nothing, os.fdopen(writing, "w") as said:
        one = said.fileno()
        program = Program(arguments, environ, stdin=nothing.fileno(), stdout=one, stderr=one)
    return program, os.fdopen(reading, encoding="utf-8", errors="replace")


def millstream(
    *arguments: str,
    environ: Mapping[str, str],
    stdin: bytes = b"",
    timeout_s: float = 120.0,
    folder: Path = ROOT,
) -> "subprocess.CompletedProcess[bytes]":
    """``millstream ARGUMENTS`` to its end. Raises ``subprocess.TimeoutExpired``."""
    with TemporaryFile() as asked, TemporaryFile() as out, TemporaryFile() as err:
        asked.write(stdin)
        asked.seek(0)
        program = Program(
            ["api.cli.main", *arguments],
            environ,
            stdin=asked.fileno(),
            stdout=out.fileno(),
            stderr=err.fileno(),
            folder=folder,
        )
        try:
            code = program.wait(timeout_s)
        finally:
            program.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def millstream_text(*arguments: str, environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """As ``millstream``, in text."""
    done = millstream(*arguments, environ=environ)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _run(arguments: Sequence[str], environ: Mapping[str, str], folder: str, standard: Sequence[Any]) -> None:
    """In the fork: be the program."""
    if len(list(Path(f"/proc/{os.getppid()}/task").iterdir())) > 1:
        raise RuntimeError("something that the fork server has loaded runs threads: no process may fork then")
    die_with(os.getppid(), signal.SIGKILL)
    for number, one in enumerate(standard):
        given = one.detach()
        os.dup2(given, number)
        os.close(given)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = list(arguments)
    importlib.import_module(arguments[0]).main()


@atexit.register
def _end_all() -> None:
    """Before ``multiprocessing`` waits for them at its own exit, which was registered earlier and so comes later."""
    for one in list(_running):
        one.kill()
