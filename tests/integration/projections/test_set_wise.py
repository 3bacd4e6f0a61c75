"""What comes in floods is written by one statement, whatever its number."""

from collections.abc import Callable, Mapping
from typing import cast

import psycopg
from psycopg.abc import Params, Query, QueryNoTemplate

from infra.kafka.admin import Watermarks
from projections.catalogue import SERIES_POINTS
from projections.folding import Folding
from projections.generations import Generation
from projections.projection import Projection
from projections.runner import checkpoint, dead_letters
from projections.runner.batch import DeadLetter
from schemas.envelope import Record
from schemas.events import BackfillPlanned, PlanCause, PlannedScope, PlannedSeries
from schemas.grid import TimeUnit
from tests.support.projecting import OTHER_SERIES, SERIES, foldings

Place = Callable[[Projection], tuple[psycopg.Connection[tuple[object, ...]], Generation]]
Rows = tuple[object, ...]


class Counting(psycopg.Cursor[Rows]):
    """A cursor that counts its statements."""

    statements = 0

    def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> "Counting":
        type(self).statements += 1
        super().execute(cast(QueryNoTemplate, query), params, prepare=prepare, binary=binary)
        return self

    def executemany(self, query: Query, params_seq: object, *, returning: bool = False) -> None:
        raise AssertionError("one statement per row")


def _counting(connection: psycopg.Connection[Rows]) -> Counting:
    Counting.statements = 0
    return Counting(connection)


def test_dead_letters_are_one_statement_byte_for_byte(place: Place) -> None:
    connection, _ = place(SERIES_POINTS)
    connection.execute("truncate dead_letters")
    headers = [(), (("ä\x00", b"\xff\x00"), ("b", b"")), (("b", b"1"), ("b", b"2"))]
    letters = [
        DeadLetter(Record("t", 0, offset, 5, key, value, headers[offset % 3]), f"why {offset}\x00", "$")
        for offset, (key, value) in enumerate([(None, None), (b"\x00", b"\xff"), (b"", b"")] * 100)
    ]
    cursor = _counting(connection)
    dead_letters.insert(cursor, letters)
    dead_letters.insert(cursor, letters[:3])
    assert Counting.statements == 2
    rows = connection.execute(
        'select "offset", key, value, header_names, header_values, reason from dead_letters order by 1 limit 3'
    ).fetchall()
    assert rows == [
        (0, None, None, [], [], "why 0\u2400"),
        (1, b"\x00", b"\xff", ["ä\u2400", "b"], [b"\xff\x00", b""], "why 1\u2400"),
        (2, b"", b"", ["b", "b"], [b"1", b"2"], "why 2\u2400"),
    ]
    assert connection.execute("select count(*) from dead_letters").fetchone() == (300,)


def test_rows_of_checkpoints_are_one_statement(place: Place) -> None:
    connection, _ = place(SERIES_POINTS)
    connection.execute("truncate checkpoints")
    connection.cursor_factory = Counting
    Counting.statements = 0
    marks: Mapping[str, Mapping[int, Watermarks]] = {
        topic: {number: Watermarks(number, 100) for number in range(8)} for topic in ("a", "b")
    }
    checkpoint.ensure(connection, "c", {"a": b"1", "b": b"2"}, marks)
    assert Counting.statements == 1
    rows = connection.execute(
        "select topic, partition, next_offset from checkpoints order by 1, 2"
    ).fetchall()
    assert rows == [(topic, number, number) for topic in ("a", "b") for number in range(8)]
    connection.execute("truncate checkpoints")


def test_plans_are_one_statement(place: Place) -> None:
    connection, _ = place(SERIES_POINTS)
    events: list[Folding] = foldings([_plan(SERIES, 600), _plan(SERIES, 620), _plan(OTHER_SERIES, 600)])
    cursor = _counting(connection)
    SERIES_POINTS.prepare(events)(cursor)
    assert Counting.statements == 1
    rows = connection.execute(
        "select series_id, repo_id, value, cells::text from series_planned order by 1, 2"
    ).fetchall()
    assert rows == [
        *((SERIES, number, 1, "{[600,603),[620,623)}") for number in (1, 2)),
        *((OTHER_SERIES, number, 1, "{[600,603)}") for number in (1, 2)),
    ]


def _plan(series_id: str, first: int) -> BackfillPlanned:
    series = PlannedSeries(
        series_id=series_id, unit=TimeUnit.MONTH, value=1, first_index=first, end_index=first + 3
    )
    scope = PlannedScope(series=[series], repositories=[1, 2])
    return BackfillPlanned(insight_id=7, cause=PlanCause.INSIGHT_CREATED, scopes=[scope], part=1, of=1)
