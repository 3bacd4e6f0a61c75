"""Secrets, addresses and permissions in a folder: what accounts will keep, so that processes of a test share it."""

import hashlib
import json
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

from streams.monitors.doors import Doors, SecretMissing, SecretRef


class FolderSecrets:
    """A vault without a lock, for tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "secrets"
        self._folder.mkdir(parents=True, exist_ok=True)

    def put(self, secret: str, *, kind: str, owner: str, once: str | None = None) -> SecretRef:
        name = secrets.token_hex(8) if once is None else _digest(f"{kind}/{owner}/{once}/{secret}")
        self._file(f"{kind}:{name}", kind, owner).write_text(secret)
        return SecretRef(ref=f"{kind}:{name}", fingerprint=_digest(secret))

    def get(self, ref: str, *, kind: str, owner: str) -> str:
        try:
            return self._file(ref, kind, owner).read_text()
        except FileNotFoundError as error:
            raise SecretMissing(f"there is no secret {ref}") from error

    def _file(self, ref: str, kind: str, owner: str) -> Path:
        return self._folder / _digest(f"{kind}/{owner}/{ref}")

    def forget_unnamed(
        self, kinds: Collection[str], named: Collection[str], now: datetime, grace: timedelta
    ) -> int:
        return 0


def folder_doors(folder: Path) -> Doors:
    """Everybody's address is theirs at example.org, and everybody may see what ``deny`` has not taken away."""

    def may_see(user: str, repository_id: int) -> bool:
        return [user, repository_id] not in _denied(folder)

    return Doors(FolderSecrets(folder), lambda user: f"{user}@example.org", may_see)


def deny(folder: Path, *pairs: tuple[str, int]) -> None:
    """These, and no others, may not see these repositories from now on."""
    draft = folder / "denied.new"
    draft.write_text(json.dumps(pairs))
    draft.replace(folder / "denied")


def _denied(folder: Path) -> list[list[object]]:
    try:
        found: list[list[object]] = json.loads((folder / "denied").read_text())
    except FileNotFoundError:
        return []
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
