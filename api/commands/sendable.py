"""Whether an action of a code monitor can send at all, as far as that is known before it has to. Pure.

It is said when the action is made, not when a match is told to nobody. Names of hosts are resolved only when something is sent.
"""

import ipaddress
from collections.abc import Iterable

import msgspec

from infra.settings import Settings
from schemas.accounts.names import LOCAL_ADMIN
from streams.monitors.delivery.address import AddressPolicy


class Sendable(msgspec.Struct, frozen=True, kw_only=True):
    """By the settings of this process; the worker that sends has the same ones."""

    has_mail_server: bool
    admin_has_address: bool
    policy: AddressPolicy

    @classmethod
    def of(cls, settings: Settings) -> "Sendable":
        """By the settings."""
        return cls(
            has_mail_server=bool(settings.smtp_host),
            admin_has_address=bool(settings.admin_email),
            policy=AddressPolicy.of(settings.action_allowed_hosts),
        )

    def mail_problem(self, without_address: Iterable[str]) -> str | None:
        """Why a mail reaches nobody, or not all of its recipients; these have no address in their accounts."""
        missing = [
            name
            for name in dict.fromkeys(without_address)
            if name != LOCAL_ADMIN or not self.admin_has_address
        ]
        said = [] if self.has_mail_server else ["no mail server is set (MILLSTREAM_SMTP_HOST)"]
        for name in missing:
            how = "MILLSTREAM_ADMIN_EMAIL" if name == LOCAL_ADMIN else f"millstream user email {name} ADDRESS"
            said.append(f"{name} has no mail address ({how})")
        return f"no mail can be sent: {'; '.join(said)}" if said else None

    def host_problem(self, host: str) -> str | None:
        """Why nothing is sent to this host, where it is an address already, or the machine itself."""
        text = "127.0.0.1" if host.lower().rstrip(".") == "localhost" else host
        try:
            ipaddress.ip_address(text)
        except ValueError:
            return None
        reason = self.policy.problem(host, text)
        if reason is None:
            return None
        return f"nothing is sent to {host}, which is {reason}: allow it by MILLSTREAM_ACTION_ALLOWED_HOSTS"
