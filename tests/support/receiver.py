"""A receiver of webhooks, a chat and a mail server, on loopback: they keep what they were told."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Told:
    """One request as it came, ``at_s`` of the monotonic clock."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at_s: float = field(default_factory=time.monotonic)

    @property
    def delivery_id(self) -> str:
        return self.headers.get("webhook-id", "")

    def json(self) -> Any:
        return json.loads(self.body)

    def verified(self, key: str) -> Any:
        """The payload, its signature checked by the library. Raises WebhookVerificationError."""
        return Webhook(key).verify(self.body, dict(self.headers))


@dataclass(slots=True)
class Receiver:
    """``answers`` of a path come one after the other, then 200; ``on_request`` is called before an answer is sent."""

    port: int = 0
    told: list[Told] = field(default_factory=list)
    answers: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    on_request: Callable[[Told], None] | None = None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Told]:
        return [one for one in list(self.told) if one.path == path]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens until the block ends."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = Told(self.path, headers, body)
            found.told.append(told)
            if found.on_request is not None:
                found.on_request(told)
            waiting = found.answers.get(self.path)
            status, more = waiting.pop(0) if waiting else (200, {})
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


class Mails:
    """Keeps mails; ``refusals`` are said to the next ones instead."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Message]] = []
        self.refusals: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
        if self.refusals:
            return self.refusals.pop(0)
        content = envelope.content
        data = content if isinstance(content, bytes) else (content or "").encode()
        self.kept += [(recipient, message_from_bytes(data)) for recipient in envelope.rcpt_tos]
        return "250 taken"


@contextmanager
def mail_server() -> Iterator[tuple[Mails, int]]:
    """A mail server that listens until the block ends, and its port."""
    mails = Mails()
    port = free_port()
    controller = Controller(mails, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mails, port
    finally:
        controller.stop()


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
