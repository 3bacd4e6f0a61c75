"""A load on the log, and how far projectors are: what the tests of faults under load have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import SERIES_POINTS
from schemas.topics import Topic
from tests.crash.rounds import SEED
from tests.support.checker import check, wait_until_projected
from tests.support.load import Acknowledged, Load
from tests.support.projectors import eventually, projector_running

BATCH: Final = {"MILLSTREAM_PROJECTOR_BATCH_EVENTS": "200"}
BATCH_RECORDS: Final = 40
RATE_PER_S: Final = 150.0
MOVE_S: Final = 180.0
"""A projector that starts beside everything else may take minutes; nothing is claimed about it here."""


@contextmanager
def under_load(settings: Settings, said: list[Acknowledged]) -> Iterator[Load]:
    """A load while faults strike, with a history of its own."""
    with Load(settings, SEED * 1_000 + len(said) % 1_000, RATE_PER_S) as load:
        yield load
    said += load.acknowledged


def passed(settings: Settings) -> int:
    """Records that all projections have applied together; 0 while there are none."""
    with connect(settings, Role.PROJECTOR) as connection:
        schemas = connection.execute("select schema_name from runtime.generations").fetchall()
        return sum(
            int(row[0])
            for (schema,) in schemas
            for row in connection.execute(
                f'select coalesce(sum(next_offset), 0) from "{schema}".checkpoints'.encode()
            )
        )


def epochs(settings: Settings) -> dict[tuple[str, str, int], int]:
    """Who may write: the epoch by (generation, topic, partition)."""
    with connect(settings, Role.PROJECTOR) as connection:
        schemas = connection.execute("select schema_name from runtime.generations").fetchall()
        return {
            (schema, topic, partition): epoch
            for (schema,) in schemas
            for topic, partition, epoch in connection.execute(
                f'select topic, partition, epoch from "{schema}".checkpoints'.encode()
            )
        }


def moving(settings: Settings) -> None:
    """Wait until something is applied that was not before."""
    before = passed(settings)
    assert eventually(lambda: passed(settings) > before, MOVE_S), "the projections do not move"


def whole(settings: Settings, said: list[Acknowledged]) -> list[str]:
    """What the checker finds once a projector has caught up and was stopped."""
    with projector_running(settings):
        late = wait_until_projected(settings)
    return late + check(settings, said)


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Nobody can write points, readers can read them."""
    with connect(settings, Role.ADMIN) as connection:
        (schema,) = connection.execute(
            "select schema_name from runtime.generations where projection = %s", (SERIES_POINTS.name,)
        ).fetchone() or ("",)
        connection.execute(f'lock table "{schema}".series_points in share row exclusive mode'.encode())
        yield
        connection.rollback()


def waiting_for_locks(settings: Settings) -> int:
    """Sessions of the projector that wait for a lock now."""
    with connect(settings, Role.ADMIN) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            " and usename = 'millstream_projector' and datname = current_database()"
        ).fetchone()
    return 0 if row is None else int(row[0])


def ended_sessions(settings: Settings) -> int:
    """End every session of the projector now; how many there were."""
    with connect(settings, Role.ADMIN, autocommit=True) as connection:
        rows = connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'millstream_projector' and datname = current_database()"
        ).fetchall()
    return sum(bool(done) for (done,) in rows)


def recorded(settings: Settings) -> int:
    """Records on the topic of repositories."""
    with KafkaAdmin(settings) as admin:
        return sum(marks.end for marks in admin.watermarks(Topic.REPOSITORIES).values())
