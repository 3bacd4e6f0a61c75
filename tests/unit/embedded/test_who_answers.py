"""The API of a home is ready when it says so itself: another program may have taken its port and answer there."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.embedded.address import announced
from infra.embedded.children import ChildSpec
from infra.embedded.home import open_home
from infra.embedded.ports import LOOPBACK
from infra.embedded.processes import own_ref
from infra.embedded.services import service_children


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nobody reads it."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer((LOOPBACK, 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(10)


@pytest.fixture
def api(tmp_path: Path, port: int) -> ChildSpec:
    children = service_children(open_home(tmp_path), port=port, environ={})
    return next(child for child in children if child.name == "api")


def say(home: Path, port: int, pid: int) -> None:
    (home / "api.json").write_text(json.dumps({"url": f"http://{LOOPBACK}:{port}", "pid": pid}))


def test_an_answer_of_somebody_else_is_not_ours(api: ChildSpec) -> None:
    assert not api.ready()


def test_what_a_dead_api_left_behind_is_not_its_successors(api: ChildSpec, tmp_path: Path, port: int) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    say(tmp_path, port, dead.pid)
    assert not api.ready()


def test_it_is_ready_when_it_said_so_and_answers(api: ChildSpec, tmp_path: Path, port: int) -> None:
    say(tmp_path, port, own_ref().pid)
    assert api.ready()
    assert announced(tmp_path) == (f"http://{LOOPBACK}:{port}", own_ref().pid)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"url": 1}', '{"url": "u", "pid": "x"}'])
def test_a_file_that_says_nothing_is_nobodys(tmp_path: Path, text: str) -> None:
    (tmp_path / "api.json").write_text(text)
    assert announced(tmp_path) is None
