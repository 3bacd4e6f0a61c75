"""Views for people in psql: ``live.<table>`` shows the live generation's table. No code of ours reads them.

A reader that began before a view was replaced sees it empty, and a long one makes the replacement wait; so programs
go by the row in ``runtime.generations``, and this is done beside the swap and may fail.
"""

from typing import Final

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from infra.postgres.connect import lock_key
from infra.postgres.role import OWNER
from projections.generations import READERS, Generation
from projections.projection import Projection

SCHEMA: Final = "live"
_LOCK_TIMEOUT_MS: Final = 2_000
_log = structlog.get_logger()


def refresh(engine: Engine, projection: Projection, generation: Generation) -> None:
    """Point the views of ``projection`` at ``generation``."""
    readers = ", ".join(role.database_name for role in READERS)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"set local lock_timeout = {_LOCK_TIMEOUT_MS}"))
            connection.execute(text(f"select pg_advisory_xact_lock({lock_key('views for people')})"))
            connection.execute(text(f"set local role {OWNER}"))
            connection.execute(text(f"create schema if not exists {SCHEMA}"))
            connection.execute(text(f"grant usage on schema {SCHEMA} to {readers}"))
            for table in projection.metadata.sorted_tables:
                view = f'{SCHEMA}."{table.name}"'
                connection.execute(text(f"drop view if exists {view}"))
                # As the reader, so that row security holds: a view of the owner's would show every row.
                connection.execute(
                    text(
                        f"create view {view} with (security_invoker) as "
                        f'select * from "{generation.schema_name}"."{table.name}"'
                    )
                )
                connection.execute(text(f"grant select on {view} to {readers}"))
    except OperationalError as error:
        _log.warning("views_not_refreshed", projection=projection.name, error=str(error))
