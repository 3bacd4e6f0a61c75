"""The key file of the vault: 32 random bytes, mode 600, made at the first use. Without it the vault's rows are noise."""

import base64
import binascii
import hashlib
import hmac
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.secret_file import kept_secret
from infra.settings import Settings
from schemas.errors import MillstreamError

KEY_FILE: Final = "vault-key"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


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
                "vault_key_file), or import an export of the vault.",
            ) from error

    def digest(self, *parts: str) -> bytes:
        """32 bytes that follow from ``parts`` for who has the key, and that nobody else can compute."""
        return hmac.new(self._naming, "\x1f".join(parts).encode(), hashlib.sha256).digest()

    @staticmethod
    def _derived(key: bytes, purpose: bytes) -> bytes:
        return hmac.new(key, b"millstream vault " + purpose, hashlib.sha256).digest()


def vault_key(settings: Settings) -> VaultKey:
    """The key of this installation, made where there is none (``Vaults.key`` looks before whether one was lost).

    Raises SecretExposed, VaultKeyWrong.
    """
    path = key_path(settings)
    return VaultKey(_decoded(kept_secret(path, size_bytes=KEY_BYTES), path))


def key_path(settings: Settings) -> Path:
    """Where the key file lies, or will."""
    return Path(settings.vault_key_file or settings.secrets_folder / KEY_FILE)


def _decoded(text: str, path: Path) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise VaultKeyWrong(f"{path} holds no key", remedy="Put the right key file back.") from error
