"""The projector killed at every point that matters: nothing lost, nothing twice, equal to a clean replay."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS, SERIES_POINTS
from projections.generations import schema_name
from projections.projection import Projection
from projections.reading import Reader
from projections.runner.faults import BUG_VARIABLE, FAULT_VARIABLE, MARKER_VARIABLE, Bug, Point
from tests.crash.conftest import Ends
from tests.support.projecting import Tables, tables_of
from tests.support.projectors import ProjectorProcess, projector_running

pytestmark = pytest.mark.crash

BATCH = {"MILLSTREAM_PROJECTOR_BATCH_EVENTS": "300"}
OF_EVERY_BATCH = (Point.BEFORE_WRITE, Point.AFTER_WRITE_BEFORE_COMMIT, Point.AFTER_COMMIT_BEFORE_KAFKA_COMMIT)
"""The others are passed by operators' orders alone; their tests kill there."""
CASES = [
    *[(SERIES_POINTS.name, point) for point in OF_EVERY_BATCH],
    ("recordings", Point.AFTER_COMMIT_BEFORE_KAFKA_COMMIT),
]


@pytest.fixture(scope="module")
def clean(fresh: Callable[[], Settings], ends: Ends) -> dict[str, Tables]:
    """The rows that an undisturbed replay gives."""
    settings = fresh()
    with projector_running(settings):
        _wait(settings, ends)
    tables = _tables(settings)
    assert len(tables["series_points"]["series_points"]) > 200
    assert len(tables["recordings"]["insights_query_runner_jobs"]) == 2_000
    return tables


@pytest.mark.parametrize(("name", "point"), CASES, ids=lambda part: str(part))
def test_rows_are_those_of_a_clean_replay(
    fresh: Callable[[], Settings],
    ends: Ends,
    clean: dict[str, Tables],
    tmp_path: Path,
    point: Point,
    name: str,
) -> None:
    settings = fresh()
    _kill_at(settings, name, point, tmp_path / "marker")
    before = _passed(settings, name)
    assert before < sum(end for (topic, _), end in ends.items() if topic in _topics(name)), (
        "it died in the middle"
    )
    with projector_running(settings):
        _wait(settings, ends)
    assert _tables(settings) == clean


def test_the_checker_sees_offsets_that_run_ahead_of_rows(
    fresh: Callable[[], Settings], ends: Ends, clean: dict[str, Tables], tmp_path: Path
) -> None:
    settings = fresh()
    bug = {BUG_VARIABLE: Bug.OFFSETS_FIRST.value}
    _kill_at(settings, SERIES_POINTS.name, Point.AFTER_WRITE_BEFORE_COMMIT, tmp_path / "marker", bug)
    with projector_running(settings):
        _wait(settings, ends)
    tables = _tables(settings)
    assert tables["series_points"] != clean["series_points"]
    assert tables["recordings"] == clean["recordings"]


def _kill_at(
    settings: Settings, name: str, point: Point, marker: Path, environ: dict[str, str] | None = None
) -> None:
    fault = f"{name}:{point.value}:3"
    with ProjectorProcess(
        settings,
        [name],
        environ={**BATCH, FAULT_VARIABLE: fault, MARKER_VARIABLE: str(marker), **(environ or {})},
    ) as process:
        assert process.wait() == -signal.SIGKILL
    assert marker.read_text() == fault


def _wait(settings: Settings, ends: Ends) -> None:
    database = engine(settings, Role.APP, pool_size=2)
    reader = Reader(database)
    try:
        for one in PROJECTIONS:
            assert reader.wait_until(one.name, ends, 60.0), one.name
    finally:
        reader.close()
        database.dispose()


def _tables(settings: Settings) -> dict[str, Tables]:
    with connect(settings, Role.PROJECTOR) as connection:
        found = {one.name: tables_of(connection, one, schema_name(one.name, 1)) for one in PROJECTIONS}
        for one in PROJECTIONS:
            found[one.name]["checkpoints"] = _checkpoints(settings, one)
        return found


def _checkpoints(settings: Settings, one: Projection) -> list[tuple[object, ...]]:
    with connect(settings, Role.PROJECTOR) as connection:
        return connection.execute(
            "select topic, partition, topic_id, next_offset, last_offset, last_crc32, last_append_time "
            f'from "{schema_name(one.name, 1)}".checkpoints order by topic collate "C", partition'.encode()
        ).fetchall()


def _passed(settings: Settings, name: str) -> int:
    with connect(settings, Role.PROJECTOR) as connection:
        row = connection.execute(
            f'select sum(next_offset) from "{schema_name(name, 1)}".checkpoints'.encode()
        ).fetchone()
        assert row is not None
        return int(row[0])


def _topics(name: str) -> set[str]:
    return {topic.value for one in PROJECTIONS if one.name == name for topic in one.topics}
