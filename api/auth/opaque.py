"""Ids that tell nothing: what stands in the place of an id that follows from something its reader may not see."""

import hmac
from hashlib import sha256
from pathlib import Path

from infra.secret_file import kept_secret


class OpaqueIds:
    """Made with the key of sessions, for one reader each: nobody else can compute them, or compare theirs with another's."""

    def __init__(self, key: str) -> None:
        self._key = hmac.digest(key.encode(), b"opaque ids", "sha256")

    @classmethod
    def of_home(cls, home: Path) -> "OpaqueIds":
        """With the key kept in ``home/secrets``."""
        return cls(kept_secret(home / "secrets" / "session-key"))

    def of(self, reader: str, hidden: str) -> str:
        """64 hexadecimal digits in upper case, the same each time."""
        return hmac.new(self._key, f"{reader}\x1f{hidden}".encode(), sha256).hexdigest().upper()
