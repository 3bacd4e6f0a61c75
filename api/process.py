"""``millstream api``: uvicorn with the application, on loopback unless the settings say otherwise."""

import ipaddress
import json
import os
import socket
from pathlib import Path

import structlog
import uvicorn

from api.app import create_app
from api.auth.tokens import TOKEN_FILE, admin_token
from api.http.live import LiveHub
from infra.embedded.address import ADDRESS_FILE
from infra.installation import refuse_unsound
from infra.logging import configure_from
from infra.settings import Settings
from schemas.errors import MillstreamError
from schemas.shapes import learn_all

_log = structlog.get_logger()


class BindRefused(MillstreamError):
    """The API would listen where other machines reach it."""


class PortTaken(MillstreamError):
    """Another program listens on the API's port."""


def run(settings: Settings) -> None:
    """Serve until a signal. Writes ``home/api.json`` (the URL) for the commands, and the token's file.

    Raises:
        BindRefused: the address is not loopback and no setting allows that.
        PortTaken: with the remedy.
    """
    learn_all()
    configure_from(settings, "api")
    check_bind(settings)
    refuse_unsound(settings)
    admin_token(settings.home)
    listening = listen(settings)
    host, port = listening.getsockname()[:2]
    address = settings.home / ADDRESS_FILE
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def started() -> None:
        write_address(address, url)
        _log.info("api_started", url=url, token_file=str(settings.home / TOKEN_FILE))

    app = create_app(settings, on_start=started)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        limit_concurrency=512,
        h11_max_incomplete_event_size=64 * 1024,
        proxy_headers=False,
    )
    try:
        _Server(config, app.state.live).run(sockets=[listening])
    finally:
        forget_address(address, url)


class _Server(uvicorn.Server):
    """Ends the streams first: uvicorn waits for open requests, and a stream ends by itself only after minutes."""

    def __init__(self, config: uvicorn.Config, live: LiveHub) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.close()
        await super().shutdown(sockets)


def check_bind(settings: Settings) -> None:
    """Raises BindRefused unless the address is loopback, or the settings allow others and say how who comes from there is known."""
    if is_loopback(settings.bind_host):
        return
    if not settings.bind_beyond_loopback:
        raise BindRefused(
            f"{settings.bind_host} can be reached from other machines",
            remedy="Listen on 127.0.0.1, or set MILLSTREAM_BIND_BEYOND_LOOPBACK=true and put TLS in front.",
        )
    if not settings.auth_providers:
        raise BindRefused(
            f"{settings.bind_host} can be reached from other machines, and no way is configured by which they prove who they are",
            remedy="Set MILLSTREAM_AUTH_PROVIDERS=tokens (of accounts), or proxy with MILLSTREAM_AUTH_PROXY_HEADER and "
            "MILLSTREAM_AUTH_PROXY_ADDRESSES.",
        )
    if "proxy" in settings.auth_providers and not (
        settings.auth_proxy_header and settings.auth_proxy_addresses
    ):
        raise BindRefused(
            "a proxy is to say who asks, and it is not named",
            remedy="Set MILLSTREAM_AUTH_PROXY_HEADER (its header) and MILLSTREAM_AUTH_PROXY_ADDRESSES (where it is).",
        )


def is_loopback(host: str) -> bool:
    """Whether every address of ``host`` is loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def write_address(file: Path, url: str) -> None:
    """Whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n", encoding="utf-8")
    draft.replace(file)


def forget_address(file: Path, url: str) -> None:
    """Remove the file unless a successor has written its own."""
    try:
        if json.loads(file.read_text(encoding="utf-8")) == {"url": url, "pid": os.getpid()}:
            file.unlink()
    except (FileNotFoundError, ValueError):
        return


def listen(settings: Settings) -> socket.socket:
    """The bound socket of the API. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in settings.bind_host else socket.AF_INET
    # The protocol is named: asyncio sets TCP_NODELAY only then, and every answer would wait 40 ms without it.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.bind_host, settings.bind_port))
    except OSError as error:
        listening.close()
        raise PortTaken(
            f"{settings.bind_host}:{settings.bind_port} cannot be listened on: {error.strerror}",
            remedy="End the program that has it, or set MILLSTREAM_BIND_PORT (0 takes any free port).",
        ) from error
    listening.set_inheritable(True)
    return listening
