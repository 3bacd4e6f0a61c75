"""Names, addresses, scopes, and who is believed to say who asks."""

import pytest
from starlette.types import Scope as AsgiScope

from api.auth.proxy import TrustedProxy
from api.auth.user import Means, User, local_admin, scopes_of
from api.commands import accounts
from api.commands.errors import InputRefused
from infra.settings import Settings
from schemas.accounts.names import LOCAL_ADMIN_ID
from schemas.events import Scope


@pytest.mark.parametrize("given", ["ann", "ANN", " ann ", "a.n-n_1", "0", "a" * 100])
def test_names(given: str) -> None:
    assert accounts.account_name(given, "username") == given.strip().lower()


@pytest.mark.parametrize(
    "given", ["", "-a", "a-", "a--b", "a b", "é", "a/b", "a" * 101, "a\nb", "admin", "Admin"]
)
def test_what_is_no_name(given: str) -> None:
    with pytest.raises(InputRefused):
        accounts.account_name(given, "username")


@pytest.mark.parametrize("given", ["ann@example.com", "a.b+c@x.example", " ann@example.com "])
def test_addresses(given: str) -> None:
    assert accounts.email_address(given) == given.strip()


@pytest.mark.parametrize(
    "given", ["", "ann", "ann@", "@x", "a b@x.de", "a@x\nBcc: b@x", "<a@x.de>", "a@x.de," * 2]
)
def test_what_is_no_address_is_refused_without_repeating_it(given: str) -> None:
    with pytest.raises(InputRefused) as caught:
        accounts.email_address(given)
    assert not given.strip() or given.strip() not in str(caught.value)


def test_scopes() -> None:
    assert accounts.scopes(["write", "read", "write"]) == [Scope.READ, Scope.WRITE]
    assert accounts.scopes(["user:all"]) == list(Scope)
    for wrong in ([], ["root"]):
        with pytest.raises(InputRefused):
            accounts.scopes(wrong)
    assert scopes_of("write") == {Scope.READ, Scope.WRITE}
    assert scopes_of("admin") == frozenset(Scope)
    assert scopes_of("") == frozenset()


def test_the_local_admin_sees_with_nobodys_eyes_and_an_account_with_its_own() -> None:
    assert local_admin(Means.TOKEN).viewer is None
    assert local_admin(Means.TOKEN).id == LOCAL_ADMIN_ID
    ann = User(name="ann", site_admin=True, means=Means.TOKEN)
    assert ann.viewer == ann.id != LOCAL_ADMIN_ID


def scope_from(address: str | None, *names: bytes) -> AsgiScope:
    return {
        "type": "http",
        "client": None if address is None else (address, 5000),
        "headers": [(b"x-forwarded-user", name) for name in names],
    }


@pytest.mark.parametrize(
    ("address", "names", "found"),
    [
        ("10.0.0.7", (b"Ann",), "ann"),
        ("10.0.1.7", (b"ann",), None),
        ("::ffff:10.0.0.7", (b"ann",), "ann"),
        ("fd00::1", (b"ann",), "ann"),
        ("fd00::2", (b"ann",), None),
        ("10.0.0.7", (), None),
        ("10.0.0.7", (b"ann", b"bob"), None),
        ("10.0.0.7", (b" ",), None),
        (None, (b"ann",), None),
        ("testclient", (b"ann",), None),
    ],
)
def test_a_header_counts_from_the_listed_addresses_alone(
    address: str | None, names: tuple[bytes, ...], found: str | None
) -> None:
    settings = Settings(
        auth_providers=["proxy"],
        auth_proxy_header="X-Forwarded-User",
        auth_proxy_addresses=["10.0.0.0/24", "fd00::1"],
    )
    proxy = TrustedProxy.of_settings(settings)
    assert proxy is not None
    assert proxy.name_in(scope_from(address, *names)) == found


def test_no_proxy_is_trusted_unless_all_of_it_is_set() -> None:
    assert (
        TrustedProxy.of_settings(Settings(auth_proxy_header="X-User", auth_proxy_addresses=["10.0.0.1"]))
        is None
    )
    assert TrustedProxy.of_settings(Settings(auth_providers=["proxy"], auth_proxy_header="X-User")) is None
