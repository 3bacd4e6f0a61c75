"""The whole vault in one file under a passphrase, and back: with the log, all that a new installation needs.

The file opens without the key file. scrypt makes trying passphrases dear, AES-GCM says when the file was changed.
"""

import base64
import hashlib
import secrets
from collections import Counter
from collections.abc import Collection
from typing import Annotated, Any, Final, cast

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.abc import QueryNoTemplate

from infra.settings import Settings
from infra.vault_key import NONCE_BYTES, VaultKey, VaultKeyWrong, key_path, present_key, vault_key
from infra.vault_rows import rows_beside
from schemas.errors import MillstreamError

MIN_PASSPHRASE_CHARACTERS: Final = 12
_SCRYPT: Final = {"n": 1 << 15, "r": 8, "p": 1}
_MEMORY_BYTES: Final = 128 * 1024 * 1024
_ABOUT: Final = b"millstream vault export v1"
Connection = psycopg.Connection[Any]
Table = tuple[str, str, str]

_READ: Final = {
    "secrets": "select ref, kind, owner, nonce, sealed from vault.secrets order by ref",
    "subject_keys": "select subject, '', null, nonce, sealed from vault.subject_keys order by subject",
}
_HELD: Final = {
    "secrets": "select key_id, count(*) from vault.secrets where ref = any(%s) group by key_id",
    "subject_keys": "select key_id, count(*) from vault.subject_keys where subject = any(%s) group by key_id",
}
_DROP: Final = {  # no role may change a value in place
    "secrets": "delete from vault.secrets where ref = %s and key_id <> %s",
    "subject_keys": "delete from vault.subject_keys where subject = %s and key_id <> %s",
}
_WRITE: Final = {
    "secrets": "insert into vault.secrets (ref, kind, owner, key_id, nonce, sealed) values (%s, %s, %s, %s, %s, %s) "
    "on conflict do nothing",
    "subject_keys": "insert into vault.subject_keys (subject, key_id, nonce, sealed) values (%s, %s, %s, %s) "
    "on conflict do nothing",
}


class ExportRefused(MillstreamError):
    """The file, or the passphrase, cannot be used."""


class NewKeyRefused(MillstreamError):
    """An import would make a new key beside rows that another one has sealed, and nobody said that it should."""


class Item(msgspec.Struct, frozen=True):
    """One row, opened. Lives in memory only."""

    table: str
    name: str
    kind: str
    clear: bytes
    owner: str | None = None


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """The file's content, how many rows are in it, and how many are not, since the key does not open them."""

    content: bytes
    items: int
    unopened: int


class _File(msgspec.Struct, frozen=True):
    millstream_vault: int
    salt: Annotated[str, msgspec.Meta(max_length=100)]
    nonce: Annotated[str, msgspec.Meta(max_length=100)]
    sealed: str


def exported(connection: Connection, key: VaultKey, passphrase: str) -> Export:
    """All that the key opens. Raises ExportRefused for a passphrase that is too short."""
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise ExportRefused(
            f"the passphrase has less than {MIN_PASSPHRASE_CHARACTERS} characters",
            remedy="Take a longer one: whoever has the file can try as many as he likes.",
        )
    items: list[Item] = []
    unopened = 0
    for table, statement in _READ.items():
        for name, kind, owner, nonce, sealed in connection.execute(
            cast(QueryNoTemplate, statement)
        ).fetchall():
            try:
                clear = key.open(bytes(sealed), nonce=bytes(nonce), about=name)
            except VaultKeyWrong:
                unopened += 1
            else:
                items.append(Item(table, name, kind, clear, owner))
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_derived(passphrase, salt)).encrypt(nonce, msgspec.json.encode(items), _ABOUT)
    content = msgspec.json.encode(_File(1, _text(salt), _text(nonce), _text(sealed))) + b"\n"
    return Export(content=content, items=len(items), unopened=unopened)


def key_to_import_under(
    connection: Connection, settings: Settings, items: Collection[Item], *, new_key: bool
) -> VaultKey:
    """The key of this machine. Where it has none, one is made for a vault that holds nothing, or if ``new_key`` says so.

    Raises NewKeyRefused, which counts the rows that other machines would open no longer; SecretExposed, VaultKeyWrong.
    """
    present = present_key(settings)
    if present is not None:
        return present
    of_key: Counter[str] = Counter()
    for rows in rows_beside(connection, None):
        of_key[rows.key_id] += rows.rows
    if of_key and not new_key:
        replaced = _held(connection, items)
        lost = ", ".join(
            f"{replaced[key_id]:,} of the {rows:,} rows of the key {key_id}"
            for key_id, rows in sorted(of_key.items())
        )
        raise NewKeyRefused(
            f"this machine lacks the vault's key file, {key_path(settings)}: an import would make a new key and replace {lost}, "
            "which whoever has that key opens no longer",
            remedy="Copy the key file of another machine that shares the database there (mode 600), and import again. Where "
            "nobody has it any more: millstream vault import FILE --new-key.",
        )
    return vault_key(settings)


def imported(connection: Connection, key: VaultKey, passphrase: str, content: bytes) -> tuple[int, int]:
    """Put everything in that is not there yet, in the place of what a lost key has sealed; (how many came in, how many were there).

    Raises ExportRefused.
    """
    items = opened(content, passphrase)
    new = 0
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("set transaction read write")
        for item in items:
            nonce = secrets.token_bytes(NONCE_BYTES)
            sealed = key.seal(item.clear, nonce=nonce, about=item.name)
            cursor.execute(cast(QueryNoTemplate, _DROP[item.table]), (item.name, key.id))
            whose = (item.kind, item.owner) if item.table == "secrets" else ()
            cursor.execute(
                cast(QueryNoTemplate, _WRITE[item.table]), (item.name, *whose, key.id, nonce, sealed)
            )
            new += cursor.rowcount
    return new, len(items) - new


def _held(connection: Connection, items: Collection[Item]) -> Counter[str]:
    """How many of the items the vault holds, by the key that has sealed them there."""
    held: Counter[str] = Counter()
    for table, statement in _HELD.items():
        names = [item.name for item in items if item.table == table]
        for key_id, rows in connection.execute(cast(QueryNoTemplate, statement), (names,)).fetchall():
            held[key_id] += rows
    return held


def opened(content: bytes, passphrase: str) -> list[Item]:
    """What an export holds, in clear. Raises ExportRefused."""
    try:
        file = msgspec.json.decode(content, type=_File)
        salt, nonce, sealed = (base64.b64decode(text) for text in (file.salt, file.nonce, file.sealed))
        clear = AESGCM(_derived(passphrase, salt)).decrypt(nonce, sealed, _ABOUT)
        items = msgspec.json.decode(clear, type=list[Item])
    except InvalidTag as error:
        raise ExportRefused(
            "the passphrase does not open this file, or the file was changed",
            remedy="Give the passphrase of the export, and the file as it was written.",
        ) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ExportRefused(
            "this is no export of a vault", remedy="Give a file that millstream vault export wrote."
        ) from error
    if any(item.table not in _WRITE for item in items):
        raise ExportRefused(
            "the export is of a newer Millstream", remedy="Import it with the version that wrote it."
        )
    return items


def _derived(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, maxmem=_MEMORY_BYTES, dklen=32, **_SCRYPT)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
