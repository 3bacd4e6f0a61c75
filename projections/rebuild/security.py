"""Who may see what, in two generations: what differs, in words (DESIGN sections 7 and 9).

A generation is built with its grants and policies, so two of them differ only where somebody changed one by hand, or where
the code that declares them changed. Neither may come with a swap unnoticed.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Connection

Session = psycopg.Connection[tuple[object, ...]]
Facts = dict[str, str]
"""What is said about a schema (``row security of series_points``) -> what holds (``enabled``)."""

_RELATIONS: Final = "'r', 'p', 'v', 'm', 'S', 'f'"
_ABSENT: Final = "absent"
_COMMANDS: Final[Mapping[object, str]] = {
    "r": "select",
    "a": "insert",
    "w": "update",
    "d": "delete",
    "*": "every command",
}

_SCHEMA: Final = """
select n.nspowner::regrole::text from pg_namespace n where n.nspname = %(schema)s
"""
_SCHEMA_GRANTS: Final = """
select case a.grantee when 0 then 'everybody' else a.grantee::regrole::text end, a.privilege_type, a.is_grantable
from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
where n.nspname = %(schema)s
"""
_TABLES: Final = f"""
select c.relname::text, c.relowner::regrole::text, c.relrowsecurity, c.relforcerowsecurity
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relkind in ({_RELATIONS})
"""
_TABLE_GRANTS: Final = f"""
select c.relname::text, case a.grantee when 0 then 'everybody' else a.grantee::regrole::text end, a.privilege_type,
  a.is_grantable
from pg_class c join pg_namespace n on n.oid = c.relnamespace,
  aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r'::"char" end, c.relowner))) a
where n.nspname = %(schema)s and c.relkind in ({_RELATIONS})
"""
_COLUMNS: Final = f"""
select c.relname::text, t.attname::text
from pg_attribute t join pg_class c on c.oid = t.attrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relkind in ({_RELATIONS}) and t.attnum > 0 and not t.attisdropped
"""
_COLUMN_GRANTS: Final = f"""
select c.relname::text, t.attname::text, case a.grantee when 0 then 'everybody' else a.grantee::regrole::text end,
  a.privilege_type, a.is_grantable
from pg_attribute t join pg_class c on c.oid = t.attrelid join pg_namespace n on n.oid = c.relnamespace,
  aclexplode(t.attacl) a
where n.nspname = %(schema)s and c.relkind in ({_RELATIONS}) and not t.attisdropped
"""
_POLICIES: Final = """
select c.relname::text, p.polname::text, p.polpermissive, p.polcmd::text,
  array(select case r when 0 then 'everybody' else r::regrole::text end from unnest(p.polroles) r order by 1),
  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s
"""


def security_differences(connection: Session | Connection, old_schema: str, new_schema: str) -> list[str]:
    """In what the protection of two schemas differs, a sentence each; empty when it is the same.

    Compared are the owners and grants of the schemas, and of each table that both have: owner, row security (also forced),
    policies with their expressions, grants on the table and on the columns that both have. A table or column of one schema
    alone has nothing to be compared with: it is protected as the code that built it declares. Names of the schemas
    within expressions do not count. Reads in the caller's transaction.
    """
    session = _session(connection)
    old, new = _Schema(session, old_schema), _Schema(session, new_schema)
    tables, columns = old.tables & new.tables, old.columns & new.columns
    ours, theirs = old.facts(tables, columns), new.facts(tables, columns)
    return [
        f"{subject}: {ours.get(subject, _ABSENT)} in {old_schema}, {theirs.get(subject, _ABSENT)} in {new_schema}"
        for subject in sorted(ours.keys() | theirs.keys())
        if ours.get(subject) != theirs.get(subject)
    ]


def protection(connection: Session | Connection, schema: str) -> str:
    """SHA-256 over everything that is said about the protection of ``schema``, in hex."""
    found = _Schema(_session(connection), schema)
    facts = found.facts(found.tables, found.columns)
    return hashlib.sha256("\n".join(f"{what}: {facts[what]}" for what in sorted(facts)).encode()).hexdigest()


def changed_by_hand(connection: Session | Connection, schema: str) -> bool:
    """Whether a generation is not protected any more as it was made; False where the build that made it took no note."""
    session = _session(connection)
    # Through JSON: an earlier build's table does not have the column.
    query = sql.SQL("select to_jsonb(g) ->> 'protection' from {}.generation g").format(sql.Identifier(schema))
    row = session.execute(query).fetchone()
    noted = row[0] if row is not None else None
    return noted is not None and noted != protection(session, schema)


class _Schema:
    """One schema as the catalogue describes it."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        # Deparsed expressions name a schema or not, as the session's search_path has it.
        self._qualified = re.compile(rf'(?<![\w".])"?{re.escape(name)}"?\.')
        self._relations = self._rows(_TABLES)
        self.tables = frozenset(str(table) for table, *_ in self._relations)
        self.columns = frozenset((str(table), str(column)) for table, column in self._rows(_COLUMNS))

    def facts(self, tables: frozenset[str], columns: frozenset[tuple[str, str]]) -> Facts:
        """Of the schema itself, ``tables`` and ``columns`` (table, column)."""
        return dict(self._facts(tables, columns))

    def _facts(
        self, tables: frozenset[str], columns: frozenset[tuple[str, str]]
    ) -> Iterator[tuple[str, str]]:
        for (owner,) in self._rows(_SCHEMA):
            yield "owner of the schema", str(owner)
        for role, privilege, grantable in self._rows(_SCHEMA_GRANTS):
            yield f"{privilege} on the schema for {role}", _granted(grantable)
        for table, owner, enabled, forced in self._relations:
            if table in tables:
                yield f"owner of {table}", str(owner)
                yield f"row security of {table}", "enabled" if enabled else "disabled"
                yield f"row security of {table} for its owner", "forced" if forced else "not forced"
        for table, role, privilege, grantable in self._rows(_TABLE_GRANTS):
            if table in tables:
                yield f"{privilege} on {table} for {role}", _granted(grantable)
        for table, column, role, privilege, grantable in self._rows(_COLUMN_GRANTS):
            if (table, column) in columns:
                yield f"{privilege} on {table}.{column} for {role}", _granted(grantable)
        for table, policy, permissive, command, roles, using, check in self._rows(_POLICIES):
            if table in tables:
                yield (
                    f"policy {policy} on {table}",
                    self._policy(permissive, command, roles, using, check),
                )

    def _policy(
        self, permissive: object, command: object, roles: object, using: object, check: object
    ) -> str:
        parts = ["permissive" if permissive else "restrictive", f"for {_COMMANDS.get(command, str(command))}"]
        if isinstance(roles, list):
            parts.append("to " + " and ".join(map(str, roles)))
        if using is not None:
            parts.append(f"using {self._unqualified(str(using))}")
        if check is not None:
            parts.append(f"with check {self._unqualified(str(check))}")
        return ", ".join(parts)

    def _unqualified(self, expression: str) -> str:
        return " ".join(self._qualified.sub("", expression).split())

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        return self._session.execute(query.encode(), {"schema": self._name}).fetchall()


def _granted(grantable: object) -> str:
    return "granted with the right to grant it" if grantable else "granted"


def _session(connection: Session | Connection) -> Session:
    if isinstance(connection, psycopg.Connection):
        return connection
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("the engine has to use psycopg")
    return driver
