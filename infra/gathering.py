"""Metrics of several processes on one port: children answer their parent over a pipe, the parent adds up and serves.

The parent has no thread for it (it forks): :meth:`Page.serve` answers at most one request and returns.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from infra.metrics import exposition

ANSWER_S: Final = 1.0
"""A child that has not answered by then counts with its answer before: without it sums would fall, and jump when it is back."""
_REQUEST_S: Final = 2.0
_ASK: Final = b"?"
_LENGTH: Final = struct.Struct("!I")
_CHUNK: Final = 1 << 16
_ADDED: Final = frozenset(("counter", "histogram", "summary"))
_log = structlog.get_logger()


class Line:
    """The parent's end of what it asks a child by. Not thread-safe."""

    def __init__(self) -> None:
        self._mine, self._theirs = socket.socketpair()
        self._owed = 0
        self._read = b""
        self._last: bytes | None = None

    def answer(self) -> None:
        """In the child, once: answer from a thread that ends with the process."""
        self._mine.close()
        threading.Thread(target=_answer, args=(self._theirs,), name="metrics", daemon=True).start()

    def handed_over(self) -> None:
        """In the parent, once the child has its copy: the end of the child is seen from here on."""
        self._theirs.close()

    def close(self) -> None:
        self._mine.close()
        self._theirs.close()

    def ask(self, timeout_s: float = ANSWER_S) -> str | None:
        """The child's metrics in Prometheus' text format, as it last told them when it is silent for so long.

        None when it has ended, or has never answered.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            self._mine.settimeout(timeout_s)
            self._mine.sendall(_ASK)
            self._owed += 1
            while self._owed:  # also answers that came too late for whoever asked
                while (answer := self._taken()) is not None:
                    self._last, self._owed = answer, self._owed - 1
                if not self._owed:
                    break
                self._mine.settimeout(max(0.001, deadline_s - time.monotonic()))
                more = self._mine.recv(_CHUNK)
                if not more:
                    return None
                self._read += more
        except TimeoutError:
            _log.info("metrics_late", waited_s=timeout_s)
        except OSError:  # the child has gone
            return None
        return None if self._last is None else self._last.decode()

    def _taken(self) -> bytes | None:
        """The next whole answer of what was read."""
        if len(self._read) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._read)[0]
        if len(self._read) < end:
            return None
        answer, self._read = self._read[_LENGTH.size : end], self._read[end:]
        return answer


def _answer(line: socket.socket) -> None:
    try:
        while line.recv(1):
            text = exposition()
            line.sendall(_LENGTH.pack(len(text)) + text)
    except OSError as error:
        _log.info("metrics_not_answered", error=str(error))


def merged(texts: Iterable[str]) -> list[Metric]:
    """The metrics of several processes as if they were one's: counts are added, of a gauge the greatest counts."""
    found: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            known = values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                if key not in known:
                    known[key] = sample.value
                elif family.type in _ADDED:
                    known[key] += sample.value
                else:
                    known[key] = max(known[key], sample.value)
    for name, family in found.items():
        family.samples = [Sample(of, dict(labels), value) for (of, labels), value in values[name].items()]
    return list(found.values())


class Page:
    """``/metrics`` on loopback for all processes that ``texts`` asks. Raises OSError when the port is taken."""

    def __init__(self, port: int, texts: Callable[[], Iterable[str]]) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        registry = CollectorRegistry()
        registry.register(_Merged(texts))
        self._server.set_app(make_wsgi_app(registry))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def serve(self, timeout_s: float) -> None:
        """Answer the next request; returns after ``timeout_s`` when there is none."""
        self._server.timeout = timeout_s
        self._server.handle_request()

    def close(self) -> None:
        self._server.server_close()


class _Merged(Collector):
    def __init__(self, texts: Callable[[], Iterable[str]]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        yield from merged(self._texts())

    def describe(self) -> Iterator[Metric]:
        """Nothing is known before the first answer."""
        yield from ()


class _Server(WSGIServer):
    def server_bind(self) -> None:
        """As its parent's, but without asking a name server who we are."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        _log.info("metrics_request_failed", client=str(client_address))


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_S

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
        """A request is nothing to speak of."""
