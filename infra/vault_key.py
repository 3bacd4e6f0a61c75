"""The key file of the vault: 32 random bytes, mode 600, made at the first use. Without it the vault's rows are noise."""

import base64
import binascii
import hashlib
import hmac
from pathlib import Path
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.secret_file import kept_secret, present_secret
from infra.settings import Settings
from schemas.errors import MillstreamError

KEY_FILE: Final = "vault-key"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_SETTLED_NS: Final = 2_000_000_000
"""A file system may give two changes one time: a file that changed just now is read each time."""
_Stamp = tuple[int, int, int, int]
_log = structlog.get_logger()


class VaultKeyWrong(MillstreamError):
    """The key file does not open what is in the vault."""


class VaultKey:
    """The key, and what is derived from it. Its bytes leave this class only inside a cipher."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultKeyWrong(
                f"the vault's key has {len(key)} bytes, not {KEY_BYTES}",
                remedy="Put the right key file back.",
            )
        self._sealing = self._derived(key, b"seal")
        self._naming = self._derived(key, b"name")
        self.id: Final = hashlib.sha256(b"millstream vault key id" + key).hexdigest()[:16]
        """Says which key sealed a row, and nothing about the key."""

    def seal(self, clear: bytes, *, nonce: bytes, about: str) -> bytes:
        """``clear`` encrypted; it opens only with the same ``about``."""
        return AESGCM(self._sealing).encrypt(nonce, clear, about.encode())

    def open(self, sealed: bytes, *, nonce: bytes, about: str) -> bytes:
        """The inverse. Raises VaultKeyWrong."""
        try:
            return AESGCM(self._sealing).decrypt(nonce, sealed, about.encode())
        except InvalidTag as error:
            raise VaultKeyWrong(
                f"the key file does not open {about}",
                remedy="Put the key file back that belongs to this database (home/secrets/vault-key, or the setting "
                "vault_key_file): another machine that shares it may have it. Where it is lost: millstream vault import FILE "
                "of an export, and millstream vault forget --key KEYID for what no export holds.",
            ) from error

    def digest(self, *parts: str) -> bytes:
        """32 bytes that follow from ``parts`` for who has the key, and that nobody else can compute."""
        return hmac.new(self._naming, "\x1f".join(parts).encode(), hashlib.sha256).digest()

    @staticmethod
    def _derived(key: bytes, purpose: bytes) -> bytes:
        return hmac.new(key, b"millstream vault " + purpose, hashlib.sha256).digest()


class KeyFile:
    """The key as its file has it now. One per process, for all of its threads.

    The file is looked at whenever the key is asked for, and read anew when it is another one: a key that exists in the memory
    of a process alone would take with it, at the next start, whatever it has sealed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: tuple[_Stamp | None, VaultKey] | None = None

    def key(self, now_ns: int) -> VaultKey | None:
        """None where there is no file: none is made. Raises SecretExposed, VaultKeyWrong."""
        path = key_path(self._settings)
        stamp = _stamp(path)
        before = self._read
        if stamp is not None and before is not None and before[0] == stamp:
            return before[1]
        key = present_key(self._settings)
        if stamp is None or key is None:
            return None
        self._read = (stamp if now_ns - stamp[-1] >= _SETTLED_NS else None, key)
        if before is not None and before[1].id != key.id:
            _log.warning("vault_key_is_another", file=str(path), before=before[1].id, now=key.id)
        return key


def vault_key(settings: Settings) -> VaultKey:
    """The key of this installation, made where there is none (``Vaults.key`` looks before whether one was lost).

    Raises SecretExposed, VaultKeyWrong.
    """
    path = key_path(settings)
    return VaultKey(_decoded(kept_secret(path, size_bytes=KEY_BYTES), path))


def present_key(settings: Settings) -> VaultKey | None:
    """The key of this installation; None where there is no file, and none is made. Raises SecretExposed, VaultKeyWrong."""
    path = key_path(settings)
    text = present_secret(path)
    return None if text is None else VaultKey(_decoded(text, path))


def key_path(settings: Settings) -> Path:
    """Where the key file lies, or will."""
    return Path(settings.vault_key_file or settings.secrets_folder / KEY_FILE)


def _stamp(path: Path) -> _Stamp | None:
    """Another one for another file, other bytes or another mode, its last change in ns last; None where there is no file."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns


def _decoded(text: str, path: Path) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise VaultKeyWrong(f"{path} holds no key", remedy="Put the right key file back.") from error
