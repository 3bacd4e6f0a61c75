"""What becomes of the session that holds a slot and its leases."""

from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings


def end_session_of_slot(settings: Settings, app_id: str) -> None:
    """As the server does with that of a process that was paused."""
    with connect(settings, Role.ADMIN, autocommit=True) as connection:
        ended = connection.execute(
            b"""select pg_terminate_backend(pid, 10000) from pg_stat_activity
            where datname = current_database() and application_name like %s""",
            (f"%slot-{app_id}%",),
        ).fetchall()
    assert ended == [(True,)]
