"""Ports on loopback: chosen once, remembered in the home, the same at every start."""

import json
import random
import socket
from collections.abc import Iterable

import psutil

from infra.embedded.errors import PortTaken
from infra.embedded.home import Home, write_private

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 20_000, 32_000
"""Below the range from which Linux takes ports for outgoing connections, which could sit on ours at the next start."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def remembered_ports(home: Home) -> dict[str, int]:
    """The ports chosen so far, by name."""
    if not home.ports_file.exists():
        return {}
    found = json.loads(home.ports_file.read_text(encoding="utf-8"))
    return {str(name): int(port) for name, port in found.items()}


def choose_port(home: Home, name: str, *, preferred: int | None = None) -> int:
    """The port of this name: the remembered one, else ``preferred`` when free, else a free one; remembered from now on.

    A remembered port is returned whether it is free or not: see :func:`require_free`.
    """
    ports = remembered_ports(home)
    if name in ports:
        return ports[name]
    taken = set(ports.values())
    if preferred is not None and preferred not in taken and is_free(preferred):
        port = preferred
    else:
        port = _free_port(taken)
    write_private(home.ports_file, json.dumps({**ports, name: port}, indent=1) + "\n")
    return port


def choose_again(home: Home, name: str) -> int:
    """Another free port for this name, remembered instead of the one before."""
    ports = remembered_ports(home)
    port = _free_port(ports.values())
    write_private(home.ports_file, json.dumps({**ports, name: port}, indent=1) + "\n")
    return port


def _free_port(taken: Iterable[int]) -> int:
    candidates = [port for port in range(_FIRST, _LAST) if port not in set(taken)]
    random.shuffle(candidates)
    for port in candidates:
        if is_free(port):
            return port
    raise PortTaken(
        f"no free port on {LOOPBACK} between {_FIRST} and {_LAST}", remedy="end programs that listen there"
    )


def require_free(home: Home, name: str, port: int) -> None:
    """Raise :class:`PortTaken`, which names the program where it can be seen, unless the port is free."""
    if is_free(port):
        return
    raise PortTaken(
        f"port {port} of {name} is taken by {_holder(port)}",
        remedy=f"end that program, or remove {home.ports_file} to have new ports chosen",
    )


def _holder(port: int) -> str:
    for connection in psutil.net_connections(kind="tcp"):
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr.port == port
            and connection.pid is not None
        ):
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another program"
