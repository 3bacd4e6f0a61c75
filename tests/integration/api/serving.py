"""The application behind a real socket, and a way to it on which an answer gets lost."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from api.app import create_app
from tests.integration.api.conftest import Api
from tests.support.projectors import running_in_thread


@contextmanager
def served(api: Api) -> Iterator[tuple[str, int]]:
    """The API behind a real socket; its address."""
    config = uvicorn.Config(create_app(api.settings), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with running_in_thread(
            lambda: server.run([listening]), stop=lambda: setattr(server, "should_exit", True)
        ):
            yield address


@contextmanager
def first_answer_lost(upstream: tuple[str, int]) -> Iterator[tuple[str, list[bytes]]]:
    """A way to the API whose first connection is cut when its answer begins; what was cut off is in the list."""
    lost: list[bytes] = []
    closing = threading.Event()

    def relay(client: socket.socket) -> None:
        with client, socket.create_connection(upstream, timeout=30) as server:
            while not closing.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.1)
                for one in ready:
                    part = one.recv(65536)
                    if one is server and part and not lost:
                        lost.append(part)
                        return
                    if not part:
                        return
                    (server if one is client else client).sendall(part)

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(client,), daemon=True).start()

    def stop() -> None:
        closing.set()
        listening.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listening, running_in_thread(accept, stop=stop):
        host, port = listening.getsockname()
        yield f"http://{host}:{port}", lost
