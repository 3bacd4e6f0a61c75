"""Millstream's own processes under supervision; here the programs are small ones that only show that they run."""

import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.embedded import services
from infra.embedded.errors import ChildFailed, PortTaken
from infra.embedded.home import Home, open_home
from infra.embedded.ports import choose_port, is_free
from infra.embedded.services import (
    AlreadyUp,
    answers,
    page_port,
    running_services,
    service_children,
    service_environment,
    services_folder,
    services_lock,
    services_run,
)
from infra.embedded.supervisor import ChildState

_PROGRAM = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
name = sys.argv[1]
print(name, os.environ["MILLSTREAM_HOME"], os.environ["MILLSTREAM_BIND_PORT"], flush=True)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
    def log_message(self, *args): pass
if name == "api":
    port = int(os.environ["MILLSTREAM_BIND_PORT"])
    server = HTTPServer(("127.0.0.1", port), Handler)
    with open(os.path.join(os.environ["MILLSTREAM_HOME"], "api.json"), "w") as file:
        json.dump({"url": f"http://127.0.0.1:{port}", "pid": os.getpid()}, file)
    server.serve_forever()
while True: time.sleep(0.05)
"""


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(services, "service_command", lambda name: (sys.executable, "-c", _PROGRAM, name))
    return open_home(tmp_path / "home")


def test_all_three_run_with_the_home_and_the_port_and_end_together(home: Home) -> None:
    port = choose_port(home, "page")
    with services_lock(home), running_services(home, port, report=lambda line: None) as supervisor:
        assert [status.name for status in supervisor.status()] == ["projector", "worker", "api"]
        refs = [status.process for status in supervisor.status()]
        assert answers(port)
        assert (home.logs / "api.log").read_text() == f"api {home.folder} {port}\n"
    assert not answers(port)
    assert not any(ref is not None and ref.alive() for ref in refs)


def test_a_service_that_ends_is_said_and_started_again(home: Home) -> None:
    said: list[str] = []
    with running_services(home, choose_port(home, "page"), report=said.append) as supervisor:
        worker = supervisor.status()[1].process
        assert worker is not None
        assert worker.signal(signal.SIGKILL)
        eventually(
            lambda: supervisor.status()[1].restarts == 1 and supervisor.status()[1].state is ChildState.READY
        )
    assert said == ["worker ended with code -9 and is started again (millstream logs worker)"]


def test_a_service_that_cannot_run_fails_the_start(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        services, "service_command", lambda name: ("/bin/sh", "-c", "echo no settings; exit 1")
    )
    with (
        pytest.raises(ChildFailed, match="no settings"),
        running_services(home, choose_port(home, "page"), report=lambda line: None) as supervisor,
    ):
        supervisor.wait()


def test_only_one_process_runs_the_services_of_a_home(home: Home) -> None:
    assert not services_run(home.folder)
    with services_lock(home):
        assert services_run(home.folder)
        with pytest.raises(AlreadyUp) as caught, services_lock(home):
            pass
        assert "millstream logs -f" in caught.value.remedy
    assert not services_run(home.folder)
    assert not services_run(home.folder / "nothing here")


def test_services_of_a_crashed_run_are_ended_by_the_next(home: Home) -> None:
    supervisor_context = running_services(home, choose_port(home, "page"), report=lambda line: None)
    with supervisor_context as supervisor:
        refs = [status.process for status in supervisor.status()]
        assert len(list(services_folder(home).glob("*.pid"))) == 3
        # What a new run does while, for all it can know, the pid files are of one that crashed.
        with services_lock(home):
            assert not any(ref is not None and ref.alive() for ref in refs)


def test_the_page_prefers_its_port_and_keeps_the_one_it_got(home: Home) -> None:
    free = is_free(services.PREFERRED_PAGE_PORT)
    port = page_port(home)
    assert (port == services.PREFERRED_PAGE_PORT) == free
    assert page_port(home) == port


def test_another_port_than_the_expected_one_is_said_once_with_the_way_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(services, "PREFERRED_PAGE_PORT", server.getsockname()[1])
        port = page_port(home, report=said.append)
    assert said == [
        f"{services.PREFERRED_PAGE_PORT} is taken: the page is on {port}, and stays there "
        f"(remove the page entry of {home.ports_file} to choose anew)"
    ]
    assert page_port(home, report=said.append) == port
    assert len(said) == 1
    with socket.create_server(("127.0.0.1", port)):
        other = page_port(home, report=said.append)
    assert said[1].startswith(f"{port} is taken: the page is on {other},")


def test_the_page_moves_when_something_else_holds_its_port_but_not_from_one_that_was_asked_for(
    home: Home,
) -> None:
    port = page_port(home)
    with socket.create_server(("127.0.0.1", port)):
        other = page_port(home)
        assert other != port
        with pytest.raises(PortTaken, match=f"port {port} of page"):
            page_port(home, wanted=port)
    assert page_port(home) == other
    assert page_port(home, wanted=port) == port


def test_each_service_is_one_of_our_commands() -> None:
    children = service_children(Home(Path("/h")), port=7, environ={})
    assert [child.command[1:] for child in children] == [
        ("-m", "api.cli.main", "projector"),
        ("-m", "api.cli.main", "worker"),
        ("-m", "api.cli.main", "api"),
    ]
    assert all(child.restart for child in children)
    of_worker = service_children(Home(Path("/h")), port=7, environ={"A": "b"}, of_worker={"C": "d"})
    assert [child.environ for child in of_worker] == [{"A": "b"}, {"A": "b", "C": "d"}, {"A": "b"}]
    assert service_environment(Home(Path("/h")), 7, {"A": "b", "MILLSTREAM_HOME": "/other"}) == {
        "A": "b",
        "MILLSTREAM_HOME": "/h",
        "MILLSTREAM_BIND_PORT": "7",
    }
