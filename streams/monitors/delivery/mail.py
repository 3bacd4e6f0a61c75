"""Mails of monitors, and the server that takes them. ``mail_of`` is pure; ``Mailer`` is the one place that meets smtplib."""

import smtplib
import ssl
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from infra.settings import Settings
from schemas.events import EmailPriority
from streams.monitors.delivery.message import Message, excerpts, more, plural, with_source
from streams.monitors.delivery.outcomes import Delivered, Outcome, Refused

_SOURCE: Final = "code-monitoring-email"
_PERMANENT: Final = 500


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where mails go. ``password`` never leaves this process."""

    host: str
    port: int
    security: str
    username: str | None
    password: str | None
    sender: str
    ca_file: Path | None
    timeout_s: float

    @classmethod
    def of(cls, settings: Settings) -> "MailServer":
        password = settings.smtp_password
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            username=settings.smtp_username,
            password=None if password is None else password.get_secret_value(),
            sender=settings.smtp_from,
            ca_file=settings.smtp_ca_file,
            timeout_s=settings.action_timeout_s,
        )


def mail_of(
    message: Message,
    *,
    delivery_id: str,
    sender: str,
    recipient: str,
    at: datetime,
    priority: EmailPriority,
    header: str,
) -> EmailMessage:
    """Text and HTML of one mail. Its Message-ID follows from the delivery, so that a repeat is seen as one."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = sender, recipient
    mail["Subject"] = _subject(message, priority)
    mail["Date"] = format_datetime(at)
    host = urlsplit(message.external_url).hostname or "millstream"
    mail["Message-ID"] = f"<{delivery_id}@{host}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_text(message, header))
    mail.add_alternative(_html(message, header), subtype="html")
    return mail


class Mailer:
    """Hands mails over, one connection each. Blocks; threads may share it."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    @property
    def sender(self) -> str:
        return self._server.sender

    def send(self, mail: EmailMessage) -> Outcome:
        """What the server said."""
        server = self._server
        if not server.host:
            return Refused("no-mail-server", "no mail server is set: MILLSTREAM_SMTP_HOST", is_final=True)
        try:
            connection = self._connect()
            try:
                if server.username is not None:
                    connection.login(server.username, server.password or "")
                connection.send_message(mail)
            finally:
                _leave(connection)
        except smtplib.SMTPRecipientsRefused as error:
            code, _ = next(iter(error.recipients.values()))
            return _refused(code)
        except smtplib.SMTPResponseException as error:
            return _refused(error.smtp_code)
        except (smtplib.SMTPException, ssl.SSLError, OSError, UnicodeError) as error:
            return Refused("mail-server", f"the mail server cannot be reached: {type(error).__name__}")
        return Delivered("taken by the mail server")

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        context = ssl.create_default_context(cafile=None if server.ca_file is None else str(server.ca_file))
        if server.security == "tls":
            return smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout_s, context=context)
        connection = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
        if server.security == "starttls":
            try:
                connection.starttls(context=context)
            except BaseException:
                connection.close()
                raise
        return connection


def _leave(connection: smtplib.SMTP) -> None:
    """Say good-bye. The mail was taken or not before: what is answered now changes nothing."""
    with suppress(smtplib.SMTPException, OSError):
        connection.quit()
    connection.close()


def _refused(code: int) -> Refused:
    """What a server says may repeat the address: only its code goes on the log."""
    words = "it will not take it" if code >= _PERMANENT else "try later"
    return Refused("mail-refused", f"the mail server said {code}: {words}", is_final=code >= _PERMANENT)


def _subject(message: Message, priority: EmailPriority) -> str:
    test = "Test: " if message.is_test else ""
    critical = "[Critical] " if priority is EmailPriority.CRITICAL else ""
    what = plural(message.count, "new result", "new results")
    subject = f"{test}{critical}Millstream code monitor {message.description} detected {what}"
    return " ".join(subject.split())


def _text(message: Message, header: str) -> str:
    lines = [header, ""] if header else []
    lines += [
        f"Code monitor: {message.description}",
        f"{plural(message.count, 'new result', 'new results')} for: {message.query}",
        "",
    ]
    for one in excerpts(message):
        lines += [f"{one.repository}@{one.commit[:10]}", one.text, ""]
        if one.is_cut:
            lines.insert(len(lines) - 1, "(shortened)")
    rest = more(message)
    if message.results is not None and rest:
        lines += [f"... and {plural(rest, 'more result', 'more results')}", ""]
    lines += [
        f"View results: {with_source(message.event_url, _SOURCE)}",
        f"View or edit this code monitor: {with_source(message.monitor_url, _SOURCE)}",
    ]
    return "\n".join(lines) + "\n"


def _html(message: Message, header: str) -> str:
    parts = [f"<p>{escape(header)}</p>"] if header else []
    parts += [
        f"<h2>{escape(message.description)}</h2>",
        f"<p>{plural(message.count, 'new result', 'new results')} for <code>{escape(message.query)}</code></p>",
    ]
    for one in excerpts(message):
        cut = " (shortened)" if one.is_cut else ""
        parts.append(
            f'<p><a href="{escape(one.url)}">{escape(one.repository)}@{escape(one.commit[:10])}</a>{cut}</p>'
            f"<pre>{escape(one.text)}</pre>"
        )
    rest = more(message)
    if message.results is not None and rest:
        parts.append(f"<p>... and {plural(rest, 'more result', 'more results')}</p>")
    parts.append(
        f'<p><a href="{escape(with_source(message.event_url, _SOURCE))}">View results</a> · '
        f'<a href="{escape(with_source(message.monitor_url, _SOURCE))}">View or edit this code monitor</a></p>'
    )
    return "<!doctype html>\n<html><body>" + "\n".join(parts) + "</body></html>\n"
