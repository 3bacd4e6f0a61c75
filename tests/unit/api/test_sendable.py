"""What is known to stand in the way of an action before it has to send."""

import pytest

from api.commands.sendable import Sendable
from streams.monitors.delivery.address import AddressPolicy


def sendable(*, server: bool = True, admin: bool = False, allowed: tuple[str, ...] = ()) -> Sendable:
    return Sendable(has_mail_server=server, admin_has_address=admin, policy=AddressPolicy.of(allowed))


def test_a_mail_needs_a_server_and_an_address() -> None:
    assert sendable().mail_problem([]) is None
    assert sendable(admin=True).mail_problem(["admin"]) is None
    said = sendable(server=False).mail_problem(["admin", "alice"])
    assert said == (
        "no mail can be sent: no mail server is set (MILLSTREAM_SMTP_HOST); "
        "admin has no mail address (MILLSTREAM_ADMIN_EMAIL); "
        "alice has no mail address (millstream user email alice ADDRESS)"
    )
    assert "alice has no mail address" in str(sendable(admin=True).mail_problem(["admin", "alice"]))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST.", "::1", "10.1.2.3", "169.254.169.254"]
)
def test_a_private_address_is_told_of_unless_it_is_allowed(host: str) -> None:
    said = sendable().host_problem(host)
    assert said is not None
    assert "MILLSTREAM_ACTION_ALLOWED_HOSTS" in said
    assert sendable(allowed=(host, "127.0.0.0/8")).host_problem(host) is None


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "hooks.slack.com", "2606:4700::1111"])
def test_what_may_be_public_is_not_judged_before_it_is_resolved(host: str) -> None:
    assert sendable().host_problem(host) is None
