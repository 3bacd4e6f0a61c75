"""Whether derived rows of one generation are older than those of another: readers led from one to the other would see time go back.

How far the derive step is with a key is the token that it has read last: it grows with every mark, and where both generations stand
at one vector the newest is the same in both. It is a sum over topics: two of the same height, or the higher of two, may in theory
differ in what they saw of one topic, for as long as the key stays stale. ``updated_at``, which readers see, is compared too.
"""

from collections.abc import Set
from typing import Final, Protocol

from sqlalchemy import Connection, text

from projections.projection import Derive

_LOCK_TIMEOUT_MS: Final = 200
_COLUMNS: Final = """
select column_name::text from information_schema.columns where table_schema = :schema and table_name = :table
"""
_OLDER: Final = """
select there.{key} from {live}.{dirty} there join {new}.{dirty} here using ({key})
where here.dirty_token > here.update_token
  and (there.updated_at > coalesce(here.updated_at, '-infinity') or ({tokens} and there.update_token > here.update_token))
order by 1
"""
_STALE: Final = "select {key} from {new}.{dirty} where dirty_token > update_token order by 1"


class Made(Protocol):
    """A generation: where its tables are, and what made it."""

    @property
    def schema_name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...


def older_keys(connection: Connection, derive: Derive, live: Made, new: Made) -> list[int]:
    """Keys whose derived rows in ``new`` are older than those in ``live``; base rows of ``new`` have to be nowhere behind.

    Tokens of different folds cannot be compared: there the times alone are. Where ``live`` does not know what is stale, all that is
    stale in ``new`` is older.
    """
    needed = {derive.key, "dirty_token", "update_token", "updated_at"}
    names = {"key": _quoted(derive.key), "dirty": _quoted(derive.dirty)}
    names |= {"live": _quoted(live.schema_name), "new": _quoted(new.schema_name)}
    if not needed <= _columns(connection, new.schema_name, derive.dirty):
        return []
    comparable = needed <= _columns(connection, live.schema_name, derive.dirty)
    alike = (live.version, live.fingerprint) == (new.version, new.fingerprint)
    query = _OLDER.format(tokens=alike, **names) if comparable else _STALE.format(**names)
    return [key for (key,) in connection.execute(text(query))]


def stop_deriving(connection: Connection, derive: Derive, live: str) -> None:
    """Nobody brings a key of ``live`` up to date until the caller's transaction ends.

    The checkpoints have to be held already: whoever folds takes them before it marks a key. Raises what the lock timeout does.
    """
    connection.execute(text(f"set local lock_timeout = {_LOCK_TIMEOUT_MS}"))
    if _columns(connection, live, derive.dirty):
        connection.execute(text(f"lock table {_quoted(live)}.{_quoted(derive.dirty)} in share mode"))


def _columns(connection: Connection, schema: str, table: str) -> Set[str]:
    return {name for (name,) in connection.execute(text(_COLUMNS), {"schema": schema, "table": table})}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
