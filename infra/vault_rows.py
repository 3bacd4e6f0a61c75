"""Which key has sealed which rows of the vault. Those of a lost key open for nobody, and stand in the way of what would be put anew."""

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec
import psycopg
from psycopg.abc import QueryNoTemplate

from infra.vault_key import VaultKey
from schemas.errors import MillstreamError

Connection = psycopg.Connection[Any]
SUBJECT_KEY_KIND: Final = "subject-key"
"""What a key of somebody's personal data is called where rows are counted by kind."""
_ROWS: Final = """
select key_id, kind, count(*) from vault.secrets where key_id is distinct from %(present)s group by key_id, kind
union all
select key_id, %(subject_key)s::text, count(*) from vault.subject_keys where key_id is distinct from %(present)s group by key_id
order by 1, 2
"""
_DROP: Final = (
    "delete from vault.secrets where key_id = %s",
    "delete from vault.subject_keys where key_id = %s",
)


class RowsStay(MillstreamError):
    """The rows of this key are not dropped: it is the present one, or has sealed none."""


class KeyRows(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of one kind one key has sealed."""

    key_id: str
    kind: str
    rows: int


def rows_beside(connection: Connection, present: VaultKey | None) -> list[KeyRows]:
    """What other keys than the present one have sealed, by key and kind; all there is where there is no present one."""
    parameters = {"present": None if present is None else present.id, "subject_key": SUBJECT_KEY_KIND}
    found = connection.execute(cast(QueryNoTemplate, _ROWS), parameters).fetchall()
    return [KeyRows(key_id=key_id, kind=kind, rows=rows) for key_id, kind, rows in found]


def rows_to_forget(connection: Connection, key_id: str, present: VaultKey | None) -> list[KeyRows]:
    """What this key has sealed, by kind. Raises RowsStay for the present key, and for one that has sealed nothing."""
    if present is not None and key_id == present.id:
        raise RowsStay(
            f"{key_id} is the key of this machine: it opens what it has sealed",
            remedy="Name the key that is lost.",
        )
    beside = rows_beside(connection, present)
    found = [rows for rows in beside if rows.key_id == key_id]
    if not found:
        others = ", ".join(sorted({rows.key_id for rows in beside}))
        raise RowsStay(
            f"the vault holds nothing that the key {key_id} has sealed",
            remedy=f"Other keys than this machine's have sealed rows: {others}."
            if others
            else "This machine's key opens all there is.",
        )
    return found


def forget_rows(connection: Connection, key_id: str) -> int:
    """Drop what this key has sealed; how many rows that were. Whoever asks has looked whether it is lost (``rows_to_forget``)."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("set transaction read write")
        dropped = 0
        for statement in _DROP:
            cursor.execute(cast(QueryNoTemplate, statement), (key_id,))
            dropped += cursor.rowcount
    return dropped


def by_kind(rows: Iterable[KeyRows]) -> str:
    """The rows of one key in words: ``2 email, 1 subject-key``."""
    return ", ".join(f"{one.rows:,} {one.kind}" for one in rows)
