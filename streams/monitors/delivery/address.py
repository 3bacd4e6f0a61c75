"""Where a webhook may go: the policy over URLs and resolved addresses. Pure.

A name is resolved once, all of its addresses are checked, and the connection is made to a checked one. So a name that answers
otherwise a second later reaches nothing.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from schemas.errors import MillstreamError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SCHEMES: Final = {"https": 443, "http": 80}
_REFUSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local, where clouds keep their metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "private"),
        ("100::/64", "discard"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "reserved"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_EMBEDDING: Final = (
    (ipaddress.ip_network("::ffff:0:0/96"), 0),
    (ipaddress.ip_network("::/96"), 0),
    (ipaddress.ip_network("64:ff9b::/96"), 0),
    (ipaddress.ip_network("2002::/16"), 80),
)
"""Networks whose addresses hold one of IPv4, and how many bits stand behind it."""


class UrlRefused(MillstreamError):
    """Nothing is sent to this URL. ``detail`` says what a name stands for in this network: for operators alone."""

    def __init__(self, message: str, *, remedy: str = "", detail: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.detail = detail


class Target(msgspec.Struct, frozen=True):
    """What a URL says. ``resource`` is path and query, as it goes into the request."""

    scheme: str
    host: str
    port: int
    resource: str

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _SCHEMES[self.scheme] else f"{host}:{self.port}"


class AddressPolicy(msgspec.Struct, frozen=True):
    """``names`` and ``networks`` may be reached though they are private."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, allowed: Iterable[str]) -> "AddressPolicy":
        """From the setting: names of hosts, addresses, networks."""
        names: set[str] = set()
        networks: list[Network] = []
        for one in allowed:
            try:
                networks.append(ipaddress.ip_network(one, strict=False))
            except ValueError:
                names.add(one.lower().rstrip("."))
        return cls(frozenset(names), tuple(networks))

    def checked(self, host: str, addresses: Sequence[str]) -> str:
        """The address to connect to: the first, where all may be reached. Raises UrlRefused."""
        if not addresses:
            raise _no_public_address(f"{host} has no address")
        for text in addresses:
            reason = self.problem(host, text)
            if reason is not None:
                raise _no_public_address(f"{host} is {text}, which is {reason}")
        return addresses[0]

    def problem(self, host: str, text: str) -> str | None:
        """Why this address of ``host`` may not be reached; None when it may."""
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return "no address"
        if host.lower().rstrip(".") in self.names:
            return None
        forms = (address, *_embedded(address))
        if any(one in network for one in forms for network in self.networks):
            return None
        # What stands for an address of IPv4 is as good as that one.
        return next((reason for one in forms[1:] or forms if (reason := _refused(one)) is not None), None)


def _no_public_address(detail: str) -> UrlRefused:
    return UrlRefused(
        "the URL leads to no public address",
        remedy="Use a public address, or allow this one: MILLSTREAM_ACTION_ALLOWED_HOSTS.",
        detail=detail,
    )


def target_of(url: str) -> Target:
    """What is connected to. Raises UrlRefused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UrlRefused("this is no URL", remedy="Correct the URL of the action.") from error
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise UrlRefused("a URL has no white space", remedy="Correct the URL of the action.")
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise UrlRefused("only http:// and https:// are sent to", remedy="Correct the URL of the action.")
    if parts.username is not None or parts.password is not None:
        raise UrlRefused("a URL holds no user and no password", remedy="Leave them out of the URL.")
    try:
        host = (
            parts.hostname.encode("idna").decode("ascii") if not parts.hostname.isascii() else parts.hostname
        )
    except UnicodeError as error:
        raise UrlRefused("the host's name cannot be read", remedy="Correct the URL of the action.") from error
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not resource.isascii():
        raise UrlRefused("a URL has only ASCII characters", remedy="Escape the others with percent signs.")
    return Target(parts.scheme, host, port or _SCHEMES[parts.scheme], resource)


def _embedded(address: Address) -> tuple[Address, ...]:
    """The IPv4 address that one of IPv6 stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return ()
    return tuple(
        ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
        for network, shift in _EMBEDDING
        if address in network
    )


def _refused(address: Address) -> str | None:
    for network, reason in _REFUSED:
        if address in network:
            return reason
    return None if address.is_global else "not public"
