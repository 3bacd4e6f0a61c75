"""Millstream's own processes as supervised children: worker, projector, API.

Each is ``python -m api.cli.main NAME``, so what runs here is what an operator runs on a cluster.
"""

import fcntl
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.embedded.children import ChildSpec
from infra.embedded.errors import ChildFailed, StackError
from infra.embedded.home import Home
from infra.embedded.logs import log_path, tail
from infra.embedded.ports import LOOPBACK, choose_port, is_listening, require_free

PREFERRED_PAGE_PORT = 7080
_MODULE = "api.cli.main"
_PREPARE_TIMEOUT_S = 120


class AlreadyUp(StackError):
    """Worker, projector and API of this home run already."""


def page_port(home: Home) -> int:
    """The port of the pages: 7080 when free at the first start, else another; remembered. Raises PortTaken."""
    port = choose_port(home, "page", preferred=PREFERRED_PAGE_PORT)
    require_free(home, "page", port)
    return port


def service_environment(home: Home, port: int, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the services get beside the environment of their supervisor."""
    inherited = dict(os.environ if base is None else base)
    return {**inherited, "MILLSTREAM_HOME": str(home.folder), "MILLSTREAM_BIND_PORT": str(port)}


def service_command(*arguments: str) -> tuple[str, ...]:
    """The command line of one of our own programs."""
    return (sys.executable, "-m", _MODULE, *arguments)


def service_children(home: Home, *, port: int, environ: Mapping[str, str]) -> list[ChildSpec]:
    """Projector, worker and API, in the order of their start.

    They are started again when they die: agents end themselves with code 70 on a bug, and what they had not acknowledged
    comes again.
    """
    return [
        ChildSpec(
            name="projector",
            command=service_command("projector"),
            environ=environ,
            restart=True,
            start_attempts=3,
        ),
        ChildSpec(
            name="worker",
            command=service_command("worker"),
            environ=environ,
            restart=True,
            start_attempts=3,
            stop_timeout_s=20.0,
        ),
        ChildSpec(
            name="api",
            command=service_command("api"),
            environ=environ,
            ready=lambda: answers(port),
            restart=True,
            start_attempts=3,
            stop_timeout_s=10.0,
        ),
    ]


def answers(port: int) -> bool:
    """Whether the API says that it is alive."""
    if not is_listening(port):
        return False
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/healthz", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def prepare_installation(home: Home, *, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Roles, schemas and topics, once per start and before any service: ``millstream topics apply``.

    Raises:
        ChildFailed: it ended with an error; its last words are in the message.
    """
    report("Preparing topics and database roles")
    path = log_path(home.logs, "prepare")
    with path.open("ab") as log:
        result = subprocess.run(
            service_command("topics", "apply"),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=_PREPARE_TIMEOUT_S,
            check=False,
        )
    if result.returncode != 0:
        last = " | ".join(tail(path, 3))
        raise ChildFailed(f"topics apply ended with code {result.returncode}: {last}", remedy=f"see {path}")


@contextmanager
def services_lock(home: Home) -> Iterator[None]:
    """Held while the services of this home run. Raises AlreadyUp when another process holds it."""
    with (home.folder / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(
                f"Millstream runs already in {home.folder}",
                remedy="watch it with: millstream logs -f; stop it with Ctrl-C where it was started, or: millstream stack stop",
            ) from error
        yield


def services_run(home: Path) -> bool:
    """Whether another process runs the services of this home."""
    place = Home(home.absolute())
    if not place.folder.is_dir():
        return False
    try:
        with services_lock(place):
            return False
    except AlreadyUp:
        return True
