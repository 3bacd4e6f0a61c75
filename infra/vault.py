"""The vault: secrets, addresses, and the keys of personal data, encrypted under a key file (DESIGN section 3).

A secret is put in before the event that speaks of it is published, and the event carries a ``SecretRef``. Personal text
goes on the log sealed with a key of its subject, and is erased by forgetting that key.
"""

import base64
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, cast

import psycopg
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.abc import QueryNoTemplate
from sqlalchemy import Engine

from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault_key import KEY_BYTES, NONCE_BYTES, KeyFile, VaultKey, VaultKeyWrong, key_path, vault_key
from schemas.errors import MillstreamError
from schemas.privacy import SecretRef

__all__ = ["EMAIL_KIND", "SecretMissing", "SecretRef", "Vault", "Vaults", "user_subject"]

Connection = psycopg.Connection[Any]
EMAIL_KIND: Final = "email"
"""Addresses of accounts: site admins alone say which account has which."""
_SEALED: Final = "sealed:v1:"
_POOL: Final = 2
_log = structlog.get_logger()

_PUT: Final = """
insert into vault.secrets (ref, kind, owner, key_id, nonce, sealed) values (%s, %s, %s, %s, %s, %s)
on conflict (ref) do update set unnamed_since = null
"""
_GET: Final = """
select ref, nonce, sealed from vault.secrets where ref = any(%s) and kind = %s and owner is not distinct from %s
"""
_FORGET: Final = "delete from vault.secrets where ref = %s"
_NAMED: Final = """
update vault.secrets set unnamed_since = null where kind = any(%s) and unnamed_since is not null and ref = any(%s)
"""
_UNNAMED: Final = """
update vault.secrets set unnamed_since = %s where kind = any(%s) and unnamed_since is null and ref <> all(%s)
"""
_FORGET_UNNAMED: Final = """
delete from vault.secrets where kind = any(%s) and unnamed_since <= %s and ref <> all(%s) returning ref
"""
_NEW_KEY: Final = """
insert into vault.subject_keys (subject, key_id, nonce, sealed) values (%s, %s, %s, %s) on conflict (subject) do nothing
"""
_KEYS: Final = "select subject, nonce, sealed from vault.subject_keys where subject = any(%s)"
_USED: Final = "select exists (select from vault.secrets) or exists (select from vault.subject_keys)"
_ERASE: Final = "delete from vault.subject_keys where subject = %s"


class SecretMissing(MillstreamError):
    """The vault holds nothing of this name."""


def user_subject(user_id: int) -> str:
    """The subject of a user's personal data."""
    return f"user:{user_id}"


class Vault:
    """What is in the vault, over a connection of the role APP or WORKER that is in no transaction.

    The key stays the same as long as this lives, whatever becomes of its file: open one for each piece of work.
    """

    def __init__(self, connection: Connection, key: VaultKey) -> None:
        self._connection = connection
        self._key = key

    def put(self, secret: str, *, kind: str, owner: str | None = None, once: str | None = None) -> SecretRef:
        """Keep ``secret``, and name it. With ``once`` the same secret gets the same name again: for what may be repeated.

        A name is no permission, since anybody may write one into an event: with an ``owner`` it is opened for that user alone.
        """
        about = (
            ("ref", kind, once or "", secret) if owner is None else ("ref", kind, owner, once or "", secret)
        )
        name = secrets.token_bytes(16) if once is None else self._key.digest(*about)[:16]
        ref = f"{kind}:{_text(name)}"
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._key.seal(secret.encode(), nonce=nonce, about=ref)
        self._run(_PUT, (ref, kind, owner, self._key.id, nonce, sealed))
        return SecretRef(ref=ref, fingerprint=self.fingerprint(secret, kind=kind))

    def fingerprint(self, secret: str, *, kind: str) -> str:
        """Equal for equal secrets of a kind, and made with the key: nobody else can try secrets against it."""
        return self._key.digest("fingerprint", kind, secret).hex()[:16]

    def get(self, ref: str, *, kind: str, owner: str | None = None) -> str:
        """The secret of this name, if it is of this kind and owner. Raises SecretMissing, VaultKeyWrong."""
        rows = self._run(_GET, ([ref], kind, owner))
        if not rows:
            raise SecretMissing(
                f"the vault holds nothing called {ref}" + ("" if owner is None else f" for {owner}"),
                remedy="It was forgotten, is another's, or the vault was not restored (millstream vault import FILE): give it again.",
            )
        ((_, nonce, sealed),) = rows
        return self._key.open(bytes(sealed), nonce=bytes(nonce), about=ref).decode()

    def get_all(self, refs: Collection[str], *, kind: str, owner: str | None = None) -> dict[str, str]:
        """Those of the secrets that are there and open, of this kind and owner, by name; the log says what does not open."""
        rows = self._run(_GET, (list(refs), kind, owner))
        return {ref: clear.decode() for ref, clear in self._opened(rows)}

    def forget(self, ref: str) -> None:
        """Remove the secret of this name; one that is not there is no error."""
        self._run(_FORGET, (ref,))

    def forget_unnamed(
        self, kinds: Collection[str], named: Collection[str], now: datetime, grace: timedelta
    ) -> int:
        """Remove secrets of these kinds that for ``grace`` were not among the ``named`` whenever this was called; how many.

        A secret is put before the event that names it: one that is put, or put again, begins anew.
        """
        listed, refs = list(kinds), list(named)
        self._run(_NAMED, (listed, refs))
        self._run(_UNNAMED, (now, listed, refs))
        return len(self._run(_FORGET_UNNAMED, (listed, now - grace, refs)))

    def seal(self, subject: str, text: str) -> str:
        """Personal ``text`` as it may stand on the log (``schemas.privacy.Sealed``); the same text is the same each time."""
        key = self._keys([subject]).get(subject) or self._made(subject)
        nonce = self._key.digest("personal", subject, text)[:NONCE_BYTES]
        return _SEALED + _text(nonce + AESGCM(key).encrypt(nonce, text.encode(), subject.encode()))

    def unseal(self, subject: str, sealed: str) -> str | None:
        """The text again; None when it was erased."""
        return self.unseal_all({subject: sealed}).get(subject)

    def unseal_all(self, sealed: Mapping[str, str]) -> dict[str, str]:
        """The texts of several subjects; what was erased, or does not open, is left out."""
        found: dict[str, str] = {}
        for subject, key in self._opened(self._run(_KEYS, (list(sealed),))):
            data = _data(sealed[subject].removeprefix(_SEALED))
            nonce, text = data[:NONCE_BYTES], data[NONCE_BYTES:]
            try:
                found[subject] = AESGCM(key).decrypt(nonce, text, subject.encode()).decode()
            except InvalidTag:
                continue  # sealed with a key that was erased before this one was made
        return found

    def erase(self, subject: str) -> None:
        """Forget the key of ``subject``: what it sealed can be read by nobody any more, wherever it stands."""
        self._run(_ERASE, (subject,))

    def _made(self, subject: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._key.seal(secrets.token_bytes(KEY_BYTES), nonce=nonce, about=subject)
        self._run(_NEW_KEY, (subject, self._key.id, nonce, sealed))
        return self._keys([subject])[subject]  # of two that made one at once, the first one's holds

    def _keys(self, subjects: list[str]) -> dict[str, bytes]:
        return {
            subject: self._key.open(bytes(sealed), nonce=bytes(nonce), about=subject)
            for subject, nonce, sealed in self._run(_KEYS, (subjects,))
        }

    def _opened(self, rows: Iterable[tuple[str, bytes, bytes]]) -> Iterator[tuple[str, bytes]]:
        """What opens of rows (name, nonce, sealed): one of a lost key is no reason to show none of the others."""
        unopened, remedy = 0, ""
        for name, nonce, sealed in rows:
            try:
                yield name, self._key.open(bytes(sealed), nonce=bytes(nonce), about=name)
            except VaultKeyWrong as error:
                unopened, remedy = unopened + 1, error.remedy
        if unopened:
            _log.error("vault_rows_do_not_open", rows=unopened, remedy=remedy)

    def _run(self, statement: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("set transaction read write")  # the app's connections only read unless they say so
            cursor.execute(cast(QueryNoTemplate, statement), parameters)
            return cursor.fetchall() if cursor.description else []


class Vaults:
    """The vault for the threads of one process. Nothing is connected, and no key file read, before the first use."""

    def __init__(self, settings: Settings, role: Role) -> None:
        self._settings = settings
        self._role = role
        self._engine: Engine | None = None
        self._file = KeyFile(settings)

    @property
    def key(self) -> VaultKey:
        """The key as its file has it now.

        Raises SecretExposed, VaultKeyWrong: also where the file is missing, while the vault holds what a key has sealed.
        """
        present = self._file.key(time.time_ns())
        if present is not None:
            return present
        with self._connected() as connection:
            return self._first(connection)

    @contextmanager
    def open(self) -> Iterator[Vault]:
        """The vault over a connection of its own, given back afterwards. Raises SecretExposed, VaultKeyWrong."""
        with self._connected() as connection:  # first: whoever waits for one holds no key meanwhile
            yield Vault(connection, self._file.key(time.time_ns()) or self._first(connection))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if self._engine is None:
            self._engine = make_engine(self._settings, self._role, pool_size=_POOL, name="vault")
        pooled = self._engine.raw_connection()
        try:
            driver = pooled.driver_connection
            if not isinstance(driver, psycopg.Connection):
                raise TypeError("the engine has to use psycopg")
            driver.rollback()  # whatever the pool's look at the connection began
            yield driver
        finally:
            pooled.close()

    def _first(self, connection: Connection) -> VaultKey:
        """The key of a vault that holds nothing, made now. Raises VaultKeyWrong."""
        with connection.transaction():
            row = connection.execute(_USED).fetchone()
        if row is None or not row[0]:
            return vault_key(self._settings)
        present = self._file.key(time.time_ns())  # made and used by another process since it was looked for
        if present is None:
            raise VaultKeyWrong(
                f"the vault's key file is missing: {key_path(self._settings)}, and the vault holds what it has sealed",
                remedy="Put the file back, or copy that of another machine that shares the database (mode 600). Where nobody "
                "has it any more, bring an export back under a new key: millstream vault import FILE --new-key.",
            )
        return present

    def close(self) -> None:
        """Let go of the connections."""
        if self._engine is not None:
            self._engine.dispose()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _data(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
