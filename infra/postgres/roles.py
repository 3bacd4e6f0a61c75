"""Database, roles and schemas, set up so that any number of starts may do it at once (DESIGN section 9)."""

import contextlib
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.postgres.errors import DatabaseRefused, unreachable
from infra.postgres.role import OPERATOR, OWNER, SERVING, Role

__all__ = ["OPERATOR", "OWNER", "RUNTIME_SCHEMA", "SERVING", "VAULT_SCHEMA", "Role", "bootstrap"]

RUNTIME_SCHEMA: Final = "runtime"
VAULT_SCHEMA: Final = "vault"
OLDEST_SERVER: Final = 15
"""range_agg over multiranges came with PostgreSQL 15."""

_BYPASSES: Final = frozenset({Role.PROJECTOR, Role.WORKER})
_LOCK_KEY: Final = 0x6D696C6C73747265
"""``pg_advisory_xact_lock`` of the bootstrap ("millstre")."""

Connection = psycopg.Connection[Any]


def bootstrap(
    admin_dsn: str,
    passwords: Mapping[Role, str],
    *,
    statement_timeouts_s: Mapping[Role, int] | None = None,
    replace_passwords: bool = False,
) -> None:
    """Make the database, the roles and the schemas ``runtime`` and ``vault``; what is right already is left alone.

    ``millstream_owner`` (NOLOGIN) owns everything. ``millstream_projector`` is its member, so that it may make
    generations. Projector and worker bypass row security; ``millstream_app`` does not and reads only what
    generations grant; it may take on ``millstream_operator`` (NOLOGIN), but does not have its rights without.

    Args:
        admin_dsn: a superuser, or a role with CREATEROLE that owns the database (or has CREATEDB).
        passwords: of every serving role.
        statement_timeouts_s: longest statement per role, 0 or absent: no limit.
        replace_passwords: set the passwords again where they do not work (the embedded database, which is ours alone).

    Raises:
        DatabaseUnreachable: no server, or not this database and no right to make it.
        DatabaseRefused: the admin lacks a right, or a role has another password; the remedy names the statement.
    """
    _ensure_database(admin_dsn)
    with _connect(admin_dsn) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        _check_version(connection)
        made = _ensure_roles(connection, passwords)
        _ensure_limits(connection, statement_timeouts_s or {})
        _ensure_schemas(connection)
    for role in SERVING:
        if role not in made and not _can_log_in(admin_dsn, role, passwords[role]):
            _mend_password(admin_dsn, role, passwords[role], replace=replace_passwords)


def _connect(dsn: str, *, autocommit: bool = False) -> Connection:
    try:
        return psycopg.connect(
            dsn, autocommit=autocommit, connect_timeout=10, application_name="millstream-bootstrap"
        )
    except psycopg.OperationalError as error:
        raise unreachable(dsn, error) from error


def _ensure_database(admin_dsn: str) -> None:
    try:
        psycopg.connect(admin_dsn, connect_timeout=10).close()
        return
    except psycopg.OperationalError as error:
        name = conninfo_to_dict(admin_dsn).get("dbname")
        if "does not exist" not in str(error) or f'database "{name}"' not in str(error):
            raise unreachable(admin_dsn, error) from error
    with _connect(make_conninfo(admin_dsn, dbname="postgres"), autocommit=True) as connection:
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))
        except psycopg.errors.DuplicateDatabase:
            return
        except psycopg.errors.UniqueViolation:
            return  # made by another start at the same moment
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseRefused(
                f"the database {name} does not exist and this user may not make it",
                remedy=f"CREATE DATABASE {name}; as a superuser",
            ) from error


def _check_version(connection: Connection) -> None:
    major = connection.info.server_version // 10_000
    if major < OLDEST_SERVER:
        raise DatabaseRefused(
            f"the server is PostgreSQL {major}; range_agg over multiranges came with {OLDEST_SERVER}",
            remedy=f"use PostgreSQL {OLDEST_SERVER} or newer",
        )


def _ensure_roles(connection: Connection, passwords: Mapping[Role, str]) -> set[Role]:
    """Make or mend the roles; those of the serving ones that were made now."""
    names = [OWNER, OPERATOR, *(role.database_name for role in SERVING)]
    rows = connection.execute(
        "SELECT rolname, rolbypassrls, rolcanlogin, rolsuper FROM pg_roles WHERE rolname = ANY(%s)", (names,)
    ).fetchall()
    found = {
        str(name): (bool(bypasses), bool(can_log_in), bool(is_super))
        for name, bypasses, can_log_in, is_super in rows
    }
    made: set[Role] = set()
    for group in (OWNER, OPERATOR):
        if group not in found:
            statement = sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(group))
            _privileged(connection, statement, "CREATEROLE")
    for role in SERVING:
        name = sql.Identifier(role.database_name)
        wanted = (role in _BYPASSES, True, False)
        bypass = sql.SQL("BYPASSRLS" if role in _BYPASSES else "NOBYPASSRLS")
        if role.database_name not in found:
            options = bypass if role in _BYPASSES else sql.SQL("")
            statement = sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(
                name, options, sql.Literal(passwords[role])
            )
            shown = f"CREATE ROLE {role.database_name} LOGIN {'BYPASSRLS ' if role in _BYPASSES else ''}PASSWORD '...'"
            _privileged(connection, statement, shown)
            made.add(role)
        elif found[role.database_name] != wanted:
            statement = sql.SQL("ALTER ROLE {} LOGIN NOSUPERUSER {}").format(name, bypass)
            _privileged(connection, statement, statement.as_string(connection))
    _ensure_membership(connection)
    _ensure_operator(connection)
    return made


def _ensure_operator(connection: Connection) -> None:
    """The app may take the operator's role on, and has none of its rights before it does."""
    app = Role.APP.database_name
    may_set, inherits = ("SET", "USAGE") if connection.info.server_version >= 160_000 else ("MEMBER", "USAGE")
    if _scalar(connection, "SELECT pg_has_role(%s, %s, %s)", (app, OPERATOR, may_set)) and not _scalar(
        connection, "SELECT pg_has_role(%s, %s, %s)", (app, OPERATOR, inherits)
    ):
        return
    names = (sql.Identifier(OPERATOR), sql.Identifier(app))
    if connection.info.server_version >= 160_000:
        statement = sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(*names)
    else:  # inheriting was the member's own property; the app is a member of nothing else
        no_inherit = sql.SQL("ALTER ROLE {} NOINHERIT").format(names[1])
        _privileged(connection, no_inherit, no_inherit.as_string(connection))
        statement = sql.SQL("GRANT {} TO {}").format(*names)
    _privileged(connection, statement, statement.as_string(connection))


def _ensure_membership(connection: Connection) -> None:
    """The projector is a member of the owner, and so is an admin that is no superuser: it makes what the owner owns."""
    owner = sql.Identifier(OWNER)
    if not _scalar(connection, "SELECT pg_has_role(%s, %s, 'USAGE')", (Role.PROJECTOR.database_name, OWNER)):
        statement = sql.SQL("GRANT {} TO {}").format(owner, sql.Identifier(Role.PROJECTOR.database_name))
        _privileged(connection, statement, statement.as_string(connection))
    if not _scalar(connection, "SELECT pg_has_role(%s, 'MEMBER')", (OWNER,)) or not _may_set_owner(
        connection
    ):
        options = " WITH INHERIT TRUE, SET TRUE" if connection.info.server_version >= 160_000 else ""
        statement = sql.SQL("GRANT {} TO CURRENT_USER" + options).format(owner)
        _privileged(connection, statement, statement.as_string(connection))


def _may_set_owner(connection: Connection) -> bool:
    if connection.info.server_version < 160_000:
        return True
    return bool(_scalar(connection, "SELECT pg_has_role(%s, 'SET')", (OWNER,)))


def _ensure_limits(connection: Connection, timeouts_s: Mapping[Role, int]) -> None:
    """Defaults of each role, so that a person in psql has them too.

    Our own connections set them themselves: an admin who may not alter the roles goes on without.
    """
    rows = connection.execute(
        "SELECT r.rolname, s.setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = 0"
    ).fetchall()
    found = {str(name): set(config or ()) for name, config in rows}
    for role in SERVING:
        wanted = {
            "statement_timeout": f"{timeouts_s.get(role, 0)}s",
            "idle_in_transaction_session_timeout": "300s",
        }
        if role is Role.APP:
            wanted["default_transaction_read_only"] = "on"
        for name, value in wanted.items():
            if f"{name}={value}" in found.get(role.database_name, set()):
                continue
            statement = sql.SQL("ALTER ROLE {} SET {} = {}").format(
                sql.Identifier(role.database_name), sql.Identifier(name), sql.Literal(value)
            )
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(statement)


def _ensure_schemas(connection: Connection) -> None:
    owner = sql.Identifier(OWNER)
    database = sql.Identifier(connection.info.dbname)
    if not _scalar(connection, "SELECT has_database_privilege(%s, current_database(), 'CREATE')", (OWNER,)):
        statement = sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, owner)
        _privileged(connection, statement, statement.as_string(connection))
    if not _scalar(
        connection,
        "SELECT has_database_privilege(%s, current_database(), 'TEMPORARY')",
        (Role.PROJECTOR.database_name,),
    ):
        statement = sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(
            database, sql.Identifier(Role.PROJECTOR.database_name)
        )
        _privileged(connection, statement, statement.as_string(connection))
    for schema in (RUNTIME_SCHEMA, VAULT_SCHEMA):
        held_by = _scalar(
            connection, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = %s", (schema,)
        )
        if held_by is None:
            statement = sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(schema), owner)
            _privileged(connection, statement, statement.as_string(connection))
        elif held_by != OWNER:
            raise DatabaseRefused(
                f"the database has a schema {schema} that belongs to {held_by}",
                remedy="give Millstream a database of its own",
            )


def _privileged(connection: Connection, statement: sql.Composed, shown: str) -> None:
    """Run a statement that needs rights; ``shown`` is what an administrator has to run when we lack them."""
    try:
        connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        primary = error.diag.message_primary or str(error)
        hint = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
        raise DatabaseRefused(
            f"the admin user {connection.info.user} lacks a right: {primary}{hint}",
            remedy=f"as a superuser: {shown}; then start again (only a superuser, or a role that has it, may give BYPASSRLS)",
        ) from error


def _can_log_in(admin_dsn: str, role: Role, password: str) -> bool:
    dsn = make_conninfo(admin_dsn, user=role.database_name, password=password)
    try:
        psycopg.connect(dsn, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            return False
        raise unreachable(dsn, error) from error
    return True


def _mend_password(admin_dsn: str, role: Role, password: str, *, replace: bool) -> None:
    if not replace:
        raise DatabaseRefused(
            f"the role {role.database_name} exists with another password",
            remedy=f"set MILLSTREAM_DATABASE_{role.value.upper()}_PASSWORD to it, or copy the folder 'secrets' of the home that made it",
        )
    with _connect(admin_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(role.database_name), sql.Literal(password)
            )
        )


def _scalar(connection: Connection, query: str, parameters: tuple[object, ...] = ()) -> Any:
    row = connection.execute(query.encode(), parameters).fetchone()
    return None if row is None else row[0]
