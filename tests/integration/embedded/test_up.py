"""``millstream up`` as a whole: every process that it starts, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from infra.embedded.home import Home
from infra.embedded.ports import choose_port, remembered_ports
from infra.embedded.processes import ProcessRef, process_ref
from infra.embedded.services import answers, services_run
from infra.embedded.stack import read_endpoints
from tests.stack import new_home

_LIMIT_BYTES = 1_500_000_000
_STOP_TIMEOUT_S = 60
NOTHING: set[tuple[str, int]] = set()
T = TypeVar("T")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = new_home()
    # Any free one: whoever starts at the same moment would take the preferred one too.
    choose_port(Home(folder), "page")
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@contextmanager
def up(home: Path) -> Iterator[subprocess.Popen[str]]:
    """The command in the foreground, ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli.main", "up"],
        env={**os.environ, "MILLSTREAM_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if line.startswith("Up after"):
                break
        else:
            pytest.fail("".join(said))
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=_STOP_TIMEOUT_S)


def below(process: subprocess.Popen[str]) -> dict[ProcessRef, psutil.Process]:
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        ref = process_ref(child.pid)
        if ref is not None:
            found[ref] = child
    return found


def _look(process: psutil.Process, look: Callable[[psutil.Process], T], gone: T) -> T:
    """What ``look`` sees; ``gone`` when the process ended meanwhile, as PostgreSQL's workers do."""
    try:
        return look(process)
    except psutil.NoSuchProcess:
        return gone


def _bound_addresses(process: psutil.Process) -> set[tuple[str, int]]:
    """Local address and port of sockets that listen, or that are bound without a peer."""
    return {
        (connection.laddr.ip, connection.laddr.port)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN or (connection.laddr and not connection.raddr)
    }


def test_everything_runs_on_loopback_within_its_memory_and_ctrl_c_ends_it(home: Path) -> None:
    with up(home) as process:
        port = remembered_ports(Home(home))["page"]
        assert answers(port)
        assert services_run(home)
        children = below(process)
        commands = [_look(child, lambda child: " ".join(child.cmdline()), "") for child in children.values()]
        for program in ("kafka.Kafka", "bin/postgres", "main projector", "main worker", "main api"):
            assert [command for command in commands if program in command], program
        wanted = set(remembered_ports(Home(home)).values())
        bound: set[tuple[str, int]] = set()
        deadline = time.monotonic() + 60
        # The kernel's list of sockets is no snapshot: under load one look may miss some.
        while not wanted <= {found_port for _, found_port in bound}:
            assert time.monotonic() < deadline, (wanted, bound, commands)
            children |= below(process)  # one that was started again is another process
            everything = [psutil.Process(process.pid), *children.values()]
            for child in everything:
                bound |= _look(child, _bound_addresses, NOTHING)
        assert {ip for ip, _ in bound} <= {"127.0.0.1", "::1"}
        resident = sum(_look(child, lambda child: child.memory_full_info().pss, 0) for child in everything)
        assert 300_000_000 < resident < _LIMIT_BYTES
        second = subprocess.run(
            [sys.executable, "-m", "api.cli.main", "up"],
            env={**os.environ, "MILLSTREAM_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert "runs already" in second.stderr
        assert "what to do: watch it with: millstream logs -f" in second.stderr
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=_STOP_TIMEOUT_S)
    assert process.returncode == 0
    assert rest.splitlines()[-1] == "Stopped"
    assert not any(ref.alive() for ref in children)
    assert read_endpoints(home) is None
    assert not services_run(home)


def test_killed_it_takes_everything_with_it_and_the_next_one_comes_up(home: Path) -> None:
    with up(home) as process:
        children = below(process)
        process.kill()
        process.wait()
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while any(ref.alive() for ref in children):
            assert time.monotonic() < deadline, [ref for ref in children if ref.alive()]
            time.sleep(0.05)
    with up(home) as again:
        assert answers(remembered_ports(Home(home))["page"])
        commands = [
            _look(child, lambda child: " ".join(child.cmdline()), "") for child in below(again).values()
        ]
        assert [command for command in commands if "main worker" in command]
