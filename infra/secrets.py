"""Passwords of the database roles: made once, kept in files of mode 600."""

import hashlib
import os
import secrets
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from infra.postgres.role import Role

_SCRYPT_MEMORY_BYTES = 64 * 1024 * 1024


def role_password(folder: Path, role: Role, admin_dsn: str) -> str:
    """The kept password of this role; the first time it is made.

    It is derived from the admin's password, so that several machines with the same ``database_url`` agree without
    talking; where the admin has none (socket, certificate) it is random. scrypt, so that who holds one role's
    password cannot guess the admin's.
    """
    path = folder / f"{role.database_name}-password"
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        pass
    admin_password = str(conninfo_to_dict(admin_dsn).get("password") or "")
    made = _derived(admin_password, role) if admin_password else secrets.token_urlsafe(24)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _write_once(path, made)


def _derived(admin_password: str, role: Role) -> str:
    return hashlib.scrypt(
        admin_password.encode(),
        salt=f"millstream database role {role.value}".encode(),
        n=1 << 14,
        r=8,
        p=1,
        maxmem=_SCRYPT_MEMORY_BYTES,
        dklen=24,
    ).hex()


def _write_once(path: Path, text: str) -> str:
    """Write the file whole, unless another process was first; what the file holds then."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            os.link(draft, path)
        except FileExistsError:
            return path.read_text(encoding="utf-8").strip()
        return text
    finally:
        draft.unlink(missing_ok=True)
