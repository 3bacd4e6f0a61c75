"""What leaves the house, over real sockets on loopback: caps, refusals, TLS to the checked address, a mail server with a login."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from schemas.events import EmailPriority
from streams.monitors.delivery.address import AddressPolicy, UrlRefused, target_of
from streams.monitors.delivery.http import Answer, NotDelivered, Poster
from streams.monitors.delivery.mail import Mailer, MailServer, mail_of
from streams.monitors.delivery.message import Message
from streams.monitors.delivery.outcomes import Delivered, Outcome, Refused
from tests.support.authority import Authority
from tests.support.receiver import free_port

LOCAL = AddressPolicy.of(["127.0.0.1"])
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def post(
    handler: Handler,
    *,
    policy: AddressPolicy = LOCAL,
    timeout_s: float = 2.0,
    context: ssl.SSLContext | None = None,
    ca_file: Path | None = None,
) -> Answer:
    async def exchange() -> Answer:
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server:
            scheme = "http" if context is None else "https"
            poster = Poster(policy, timeout_s, ca_file)
            return await poster.post(target_of(f"{scheme}://localhost:{port}/hook"), {"X-A": "b"}, b"{}")

    return asyncio.run(exchange())


def saying(answer: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return handle


def test_a_redirect_is_an_answer_and_nobody_goes_there() -> None:
    found = post(saying(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n"))
    assert (found.status, found.headers["location"]) == (302, "http://10.0.0.1/")


def test_loopback_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UrlRefused) as caught:
        post(saying(b""), policy=AddressPolicy())
    assert "loopback" in caught.value.detail
    assert str(caught.value) == "the URL leads to no public address"


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    try:
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
    except ConnectionError:
        return


async def staying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says 200, and nothing more for as long as the sender stays."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    with suppress(ConnectionError):
        await reader.read(-1)
    writer.close()


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(endless, id="endless"),
        pytest.param(staying, id="stays open"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"), id="ends early"),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"), id="broken"
        ),
    ],
)
def test_who_said_200_has_taken_it_whatever_the_body_comes_to(handler: Handler) -> None:
    began_s = time.monotonic()
    assert post(handler, timeout_s=0.3).status == 200
    assert time.monotonic() - began_s < 3


def test_what_is_said_before_the_answer_is_none() -> None:
    assert post(saying(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")).status == 204
    with pytest.raises(NotDelivered):
        post(saying(b"HTTP/1.1 103 Early Hints\r\n\r\n"))


def test_who_drips_is_left_when_the_time_is_over() -> None:
    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for letter in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000:
                writer.write(bytes([letter]))
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            return

    began_s = time.monotonic()
    with pytest.raises(NotDelivered, match="did not answer"):
        post(dripping, timeout_s=0.5)
    assert time.monotonic() - began_s < 2


@pytest.mark.parametrize("said", [b"", b"SMTP 200\r\n\r\n"], ids=["nothing", "another language"])
def test_what_is_no_http_is_no_delivery(said: bytes) -> None:
    with pytest.raises(NotDelivered):
        post(saying(said))


def test_tls_is_checked_against_the_name_though_the_address_is_connected_to(authority: Authority) -> None:
    answer = saying(b"HTTP/1.1 204 No Content\r\n\r\n")
    good, wrong = authority.context("localhost"), authority.context("other.example")
    assert post(answer, context=good, ca_file=authority.ca_file).status == 204
    for context, ca_file in ((good, None), (wrong, authority.ca_file)):
        with pytest.raises(NotDelivered, match="certificate"):
            post(answer, context=context, ca_file=ca_file)


class Box:
    """Takes mail for everybody but nobody@."""

    def __init__(self) -> None:
        self.kept: list[Envelope] = []
        self.good_bye = "221 Bye"

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.kept.append(envelope)
        return "250 taken"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        return self.good_bye


def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"m", b"secret")
    return AuthResult(success=good, handled=False)


def send(authority: Authority, *, password: str = "secret", recipient: str = "alice@example.org", ca: bool = True, good_bye: str = "221 Bye") -> tuple[Outcome, Box]:  # fmt: skip
    box, port = Box(), free_port()
    box.good_bye = good_bye
    controller = Controller(
        box, hostname="127.0.0.1", port=port, tls_context=authority.context("localhost"), require_starttls=True,
        authenticator=login, auth_required=True,
    )  # fmt: skip
    controller.start()
    try:
        mailer = Mailer(
            MailServer(
                host="localhost", port=port, security="starttls", username="m",
                password=password, sender="m@example.org", ca_file=authority.ca_file if ca else None, timeout_s=5,
            )
        )  # fmt: skip
        message = Message(
            monitor_id=1, job_id=2, description="d", owner="o", query="q", count=1, results=None,
            external_url="https://m.example",
        )  # fmt: skip
        mail = mail_of(
            message, delivery_id="d-1", sender=mailer.sender, recipient=recipient, at=datetime.now(UTC),
            priority=EmailPriority.NORMAL, header="",
        )  # fmt: skip
        return mailer.send(mail), box
    finally:
        controller.stop()


def test_a_mail_goes_over_tls_with_a_login(authority: Authority) -> None:
    outcome, box = send(authority)
    assert isinstance(outcome, Delivered)
    assert box.kept[0].rcpt_tos == ["alice@example.org"]
    assert b"Message-ID: <d-1@m.example>" in (box.kept[0].content or b"")


def test_a_mail_that_was_taken_is_delivered_whatever_is_said_at_the_end(authority: Authority) -> None:
    outcome, box = send(authority, good_bye="421 closing")
    assert outcome == Delivered("taken by the mail server")
    assert len(box.kept) == 1


def test_what_a_mail_server_refuses_and_what_is_final(authority: Authority) -> None:
    assert send(authority, recipient="nobody@example.org")[0] == Refused(
        "mail-refused", "the mail server said 550: it will not take it", is_final=True
    )
    wrong, box = send(authority, password="wrong")
    assert isinstance(wrong, Refused)
    assert "secret" not in wrong.message
    assert not box.kept
    unknown, _ = send(authority, ca=False)
    assert isinstance(unknown, Refused)
    assert not unknown.is_final


def test_without_a_mail_server_it_says_so() -> None:
    nowhere = MailServer(host="", port=25, security="none", username=None, password=None, sender="m@x", ca_file=None, timeout_s=1)  # fmt: skip
    mail = mail_of(
        Message(monitor_id=1, job_id=2, description="d", owner="o", query="q", count=1, results=None, external_url="https://m.example"),
        delivery_id="d", sender="m@x", recipient="a@x", at=datetime.now(UTC), priority=EmailPriority.NORMAL, header="",
    )  # fmt: skip
    assert Mailer(nowhere).send(mail) == Refused(
        "no-mail-server", "no mail server is set: MILLSTREAM_SMTP_HOST", is_final=True
    )
