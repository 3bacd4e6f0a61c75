"""Millstream's own processes as supervised children: worker, projector, API.

Each is ``python -m api.cli.main NAME``, so what runs here is what an operator runs on a cluster.
"""

import fcntl
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from infra.embedded import address
from infra.embedded.children import ChildSpec, stop_orphans
from infra.embedded.errors import StackError
from infra.embedded.home import Home
from infra.embedded.ports import (
    LOOPBACK,
    choose_again,
    choose_port,
    is_free,
    is_listening,
    remembered_ports,
    require_free,
)
from infra.embedded.processes import process_ref
from infra.embedded.supervisor import ChildState, ChildStatus, Supervisor

PREFERRED_PAGE_PORT = 7080
_MODULE = "api.cli.main"


class AlreadyUp(StackError):
    """Worker, projector and API of this home run already."""


def page_port(
    home: Home, *, wanted: int | None = None, report: Callable[[str], None] = lambda line: None
) -> int:
    """The port of the pages: 7080 when free at the first start, else another; remembered.

    When something else holds the remembered one by now, another is chosen: no data names this port.

    Args:
        wanted: the port that the settings name; then it is this one or none.
        report: gets one line when another port than before, or than 7080, is chosen.

    Raises:
        PortTaken: the wanted port is taken.
    """
    if wanted is not None:
        require_free(home, "page", wanted)
        return wanted
    before = remembered_ports(home).get("page")
    port = choose_port(home, "page", preferred=PREFERRED_PAGE_PORT)
    if not is_free(port):
        port = choose_again(home, "page")
    expected = PREFERRED_PAGE_PORT if before is None else before
    if port != expected:
        report(
            f"{expected} is taken: the page is on {port}, and stays there "
            f"(remove the page entry of {home.ports_file} to choose anew)"
        )
    return port


def service_environment(home: Home, port: int, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the services get beside the environment of their supervisor."""
    inherited = dict(os.environ if base is None else base)
    return {**inherited, "MILLSTREAM_HOME": str(home.folder), "MILLSTREAM_BIND_PORT": str(port)}


def service_command(*arguments: str) -> tuple[str, ...]:
    """The command line of one of our own programs."""
    return (sys.executable, "-m", _MODULE, *arguments)


def service_children(
    home: Home, *, port: int, environ: Mapping[str, str], of_worker: Mapping[str, str] | None = None
) -> list[ChildSpec]:
    """Projector, worker and API, in the order of their start; ``of_worker`` is what the worker's environment has beside ``environ``.

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
            environ={**environ, **(of_worker or {})},
            restart=True,
            start_attempts=3,
            stop_timeout_s=20.0,
        ),
        ChildSpec(
            name="api",
            command=service_command("api"),
            environ=environ,
            ready=lambda: _serves(home, port),
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


def _serves(home: Home, port: int) -> bool:
    """Whether it is the API of this home that answers, and not another program's that took the port first."""
    found = address.announced(home.folder)
    if found is None or urlsplit(found[0]).port != port:
        return False
    return process_ref(found[1]) is not None and answers(port)


def services_folder(home: Home) -> Path:
    """Pid files of the services."""
    folder = home.run / "services"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def services_lock(home: Home) -> Iterator[None]:
    """Held while the services of this home run; ends first what an earlier holder left behind when it crashed.

    Raises:
        AlreadyUp: another process holds it.
    """
    with _lock(home):
        stop_orphans(services_folder(home))
        yield


def services_run(home: Path) -> bool:
    """Whether another process runs the services of this home."""
    place = Home(home.absolute())
    if not place.folder.is_dir():
        return False
    try:
        with _lock(place):
            return False
    except AlreadyUp:
        return True


@contextmanager
def _lock(home: Home) -> Iterator[None]:
    with (home.folder / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise already_up(home) from error
        yield


def already_up(home: Home) -> AlreadyUp:
    """The error of a second start."""
    return AlreadyUp(
        f"Millstream runs already in {home.folder}",
        remedy="watch it with: millstream logs -f; stop it with Ctrl-C where it was started, or: millstream stack stop",
    )


@contextmanager
def running_services(
    home: Home, port: int, *, report: Callable[[str], None], of_worker: Mapping[str, str] | None = None
) -> Iterator[Supervisor]:
    """Worker, projector and API, ready; stopped in order at the end. Hold :func:`services_lock` around it.

    Args:
        of_worker: what stands in the environment of the worker alone.

    Raises:
        ChildFailed: one did not become ready, the API for example because another program took its port meanwhile.
    """

    def on_change(status: ChildStatus) -> None:
        if status.state is ChildState.BACKING_OFF:
            report(
                f"{status.name} ended with code {status.last_exit_code} and is started again (millstream logs {status.name})"
            )

    children = service_children(home, port=port, environ=service_environment(home, port), of_worker=of_worker)
    address.forget(home.folder)
    with Supervisor(children, logs=home.logs, run=services_folder(home), on_change=on_change) as services:
        yield services
