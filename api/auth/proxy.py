"""A proxy in front that has authenticated people, and names them in a header (a setting; off by default)."""

import ipaddress
from collections.abc import Sequence
from typing import Self

from starlette.datastructures import Headers
from starlette.types import Scope

from infra.settings import Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxy:
    """Whose header is believed: only a peer's at one of the addresses, and only where it is sent once."""

    def __init__(self, header: str, networks: Sequence[Network]) -> None:
        self._header = header.lower()
        self._networks = tuple(networks)

    @classmethod
    def of_settings(cls, settings: Settings) -> Self | None:
        """None where no proxy is trusted."""
        if "proxy" not in settings.auth_providers or not settings.auth_proxy_header:
            return None
        networks = [ipaddress.ip_network(one, strict=False) for one in settings.auth_proxy_addresses]
        return cls(settings.auth_proxy_header, networks) if networks else None

    def name_in(self, scope: Scope) -> str | None:
        """The user that the proxy names; None when the peer is no trusted one, or names nobody."""
        client = scope.get("client")
        if not client or not self._trusts(str(client[0])):
            return None
        names = Headers(scope=scope).getlist(self._header)
        if len(names) != 1:
            return None
        return names[0].strip().lower() or None

    def _trusts(self, address: str) -> bool:
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
        return any((mapped or peer) in network for network in self._networks)
