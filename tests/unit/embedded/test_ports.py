"""Ports: chosen once, remembered, and named when something else holds them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.errors import PortTaken
from infra.embedded.home import Home, open_home
from infra.embedded.ports import choose_port, is_free, is_listening, require_free


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_is_remembered(home: Home) -> None:
    first = choose_port(home, "kafka")
    other = choose_port(home, "postgres")
    assert first != other
    assert choose_port(Home(home.folder), "kafka") == first


def test_no_port_is_one_that_an_outgoing_connection_could_hold(home: Home) -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if low <= 20_000:
        pytest.skip(f"this machine gives out {low} to {high}")
    assert all(not low <= choose_port(home, f"p{number}") <= high for number in range(20))


def test_the_preferred_port_is_taken_when_free(home: Home, taken_port: int) -> None:
    free = choose_port(home, "probe")
    assert choose_port(home, "page", preferred=taken_port) != taken_port
    other = Home(home.folder.parent / "other")
    other.folder.mkdir()
    assert choose_port(other, "page", preferred=free) == free


def test_the_preferred_port_does_not_displace_the_remembered_one(home: Home) -> None:
    chosen = choose_port(home, "page")
    assert choose_port(home, "page", preferred=choose_port(home, "probe")) == chosen


def test_a_taken_port_is_named_with_its_holder(home: Home, taken_port: int) -> None:
    assert not is_free(taken_port)
    assert is_listening(taken_port)
    with pytest.raises(
        PortTaken, match=rf"port {taken_port} of kafka is taken by .*\(pid {os.getpid()}\)"
    ) as caught:
        require_free(home, "kafka", taken_port)
    assert str(home.ports_file) in caught.value.remedy


def test_a_port_is_free_again_after_its_connections_closed(home: Home) -> None:
    port = choose_port(home, "kafka")
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)):
        accepted, _ = server.accept()
        accepted.close()  # our side closes first: its end lingers in TIME_WAIT
    assert is_free(port)
    require_free(home, "kafka", port)
