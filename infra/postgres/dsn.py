"""Connection strings: another role's, and one fit to be shown."""

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ProgrammingError

from infra.postgres.role import Role

MASK = "********"


def role_dsn(admin_dsn: str, role: Role, password: str) -> str:
    """The admin's connection string with the role's name and password in place of the admin's."""
    return make_conninfo(admin_dsn, user=role.database_name, password=password)


def masked_dsn(dsn: str) -> str:
    """The connection string without its password."""
    if not dsn:
        return ""
    try:
        parts = conninfo_to_dict(dsn)
    except ProgrammingError:
        return MASK
    if parts.get("password"):
        parts["password"] = MASK
    return make_conninfo("", **parts)
