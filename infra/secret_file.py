"""Secrets that are made once and kept in files of mode 600."""

import contextlib
import os
import secrets
from pathlib import Path

from schemas.errors import MillstreamError


class SecretExposed(MillstreamError):
    """A file with a secret can be read by others."""


def kept_secret(path: Path, *, size_bytes: int = 32) -> str:
    """The secret in ``path`` (random bytes in URL-safe base64); the first caller makes it, also when several call at once.

    Raises:
        SecretExposed: others than its owner may read the file.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            write_new(draft, secrets.token_urlsafe(size_bytes) + "\n")
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    return _read(path)


def present_secret(path: Path) -> str | None:
    """The secret in ``path``; None where there is no file, and none is made. Raises SecretExposed."""
    try:
        return _read(path)
    except FileNotFoundError:
        return None


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise SecretExposed(
            f"{path} can be read by other users", remedy=f"chmod 600 {path}, and delete it if it was read"
        )
    return path.read_text(encoding="ascii").strip()


def write_new(path: Path, text: str) -> None:
    """Write a file of mode 600 that must not exist yet. Raises FileExistsError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
