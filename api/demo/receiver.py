"""A receiver of webhooks on loopback: it takes what is signed with its key, refuses everything else, and keeps when it came."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from standardwebhooks import Webhook, WebhookVerificationError

from infra.embedded.ports import LOOPBACK

PATH: Final = "/hook"
_MAX_BODY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Heard:
    """A webhook whose signature was good. ``at_s`` is by the monotonic clock, before it was answered."""

    at_s: float
    delivery_id: str
    payload: Any

    @property
    def commits(self) -> list[str]:
        """Those that its results name."""
        return [str(one.get("commit")) for one in self.payload.get("results", [])]


@dataclass(slots=True)
class Receiver:
    """``key`` is set once the monitor that calls it is known; until then everything is refused."""

    port: int = 0
    key: str = ""
    heard: list[Heard] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What was wrong with each whose signature was not good."""

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}{PATH}"

    def take(self, headers: dict[str, str], body: bytes, at_s: float) -> bool:
        """Whether it is taken: its signature is good, and younger than the library allows."""
        if not self.key:
            return False
        try:
            payload = Webhook(self.key).verify(body, headers)
        except (WebhookVerificationError, ValueError) as error:
            self.refused.append(str(error) or type(error).__name__)
            return False
        self.heard.append(Heard(at_s, headers.get("webhook-id", ""), payload))
        return True


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port that listens until the block ends."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_POST(self) -> None:
            at_s = time.monotonic()
            length = self.headers.get("Content-Length", "")
            size = int(length) if length.isdigit() else _MAX_BODY_BYTES + 1
            taken = False
            if self.path == PATH and size <= _MAX_BODY_BYTES:
                headers = {name.lower(): value for name, value in self.headers.items()}
                taken = found.take(headers, self.rfile.read(size), at_s)
            self.send_response(204 if taken else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
