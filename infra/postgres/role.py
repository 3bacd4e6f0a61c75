"""The database roles, by name only: no driver is imported here."""

from enum import StrEnum


class Role(StrEnum):
    """Who a process is to the database (DESIGN section 9). The value is part of the role's name in Postgres."""

    ADMIN = "admin"
    """Whoever ``database_url`` names: sets up roles and schemas, serves nothing."""
    PROJECTOR = "projector"
    """Writes projections. Bypasses row security."""
    WORKER = "worker"
    """Agents: read projections, write ``runtime``. Bypasses row security."""
    APP = "app"
    """The API: reads what generations grant, under row security."""

    @property
    def database_name(self) -> str:
        """The role's name in Postgres. ADMIN has none of ours: it is whoever the URL names."""
        return f"millstream_{self.value}"


OWNER = "millstream_owner"
"""NOLOGIN: owns every schema and table."""
OPERATOR = "millstream_operator"
"""NOLOGIN: reads what projections put aside, foreign bytes of any repository. The API takes it on (SET ROLE) in single
transactions, for site admins."""
SERVING = (Role.PROJECTOR, Role.WORKER, Role.APP)
"""The roles that processes log in as."""
