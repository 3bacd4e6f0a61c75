"""Writes cells: COPY where they are provably new, after clearing what they outrank where they are not.

The statements name no schema: the runner's connection has the generation's schema as its search path. A
(series, repository) lies on one partition, whose checkpoint row this transaction holds already, so nobody else
changes the coverage that is read here.

A series has one grid: its id hashes unit and value, ``insight.created`` verifies the id, and requests that differ from
the definition are refused before they are dispatched. Should an event say otherwise all the same, the first grid of a
(series, repository) in partition order stays, among plans and among results, and what comes on another one is left
out: two units under one id would be two instants under one index.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
import orjson
import structlog
from psycopg.copy import LibpqWriter

from infra.metrics import RESULTS_LEFT_OUT
from projections.projection import Cursor
from projections.series_points import ranges
from projections.series_points.cells import Key, Settled, settle
from projections.series_points.copy_rows import (
    COVERAGE_COLUMNS,
    HEADER,
    HOLE_COLUMNS,
    POINT_COLUMNS,
    TRAILER,
    instant,
)
from projections.series_points.fold import CellChanges, FailChange, PlanChange
from projections.series_points.outcomes import Coverage, KeyChange, key_change
from projections.series_points.ranges import Ranges
from projections.series_points.snapshots import Snapshot

Buffer: TypeAlias = bytes | bytearray
_log = structlog.get_logger()

COPY_POINTS: Final = f"copy series_points ({', '.join(POINT_COLUMNS)}) from stdin (format binary)"
COPY_HOLES: Final = (
    f"copy insight_series_incomplete_points ({', '.join(HOLE_COLUMNS)}) from stdin (format binary)"
)

COPY_COVERAGE: Final = f"copy series_coverage ({', '.join(COVERAGE_COLUMNS)}) from stdin (format binary)"

PRESENT: Final = """
select k.place, bool_or(c.cells && k.cells::int4multirange), bool_or(c.unit || ' ' || c.value <> k.grid)
from unnest(string_to_array(%s, ','), string_to_array(%s, ',')::bigint[], string_to_array(%s, ';'),
            string_to_array(%s, ',')) with ordinality as k(series_id, repo_id, cells, grid, place)
cross join lateral (
  select c.cells, c.unit, c.value from series_coverage c
  where c.series_id = k.series_id and c.repo_id = k.repo_id
  offset 0
) c
group by 1
"""
"""Which incoming (series, repository) have outcomes already: for a cell of ours? on another grid? Places count from 1.

One text per column, since the driver takes longer for an array than Postgres for splitting a text. ``offset 0`` keeps the
planner at one look into the index per key: it knows nothing of a table that is being filled, and would read it whole.
"""

ANYTHING_COUNTED: Final = "select exists (select 1 from series_coverage)"

COVERAGE_OF: Final = """
select k.place, c.rank, c.cells::text
from unnest(%s::text[], %s::bigint[]) with ordinality as k(series_id, repo_id, place)
join series_coverage c on c.series_id = k.series_id and c.repo_id = k.repo_id
"""

ADD_COVERAGE: Final = """
insert into series_coverage as t (series_id, repo_id, rank, unit, value, cells)
select k.series_id, k.repo_id, k.rank, k.unit, k.value, k.cells::int4multirange
from unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::int[], %s::text[])
  as k(series_id, repo_id, rank, unit, value, cells)
on conflict (series_id, repo_id, rank) do update set cells = t.cells + excluded.cells
"""

DROP_COVERAGE: Final = """
delete from series_coverage t
using unnest(%s::text[], %s::bigint[]) as k(series_id, repo_id)
where t.series_id = k.series_id and t.repo_id = k.repo_id
"""

DROP_CELLS: Final = """
delete from {table} t
using unnest(%s::text[], %s::bigint[], %s::timestamptz[]) as k(series_id, repo_id, time)
where t.series_id = k.series_id and t.repo_id = k.repo_id and t.time = k.time
"""
"""All rows of the outranked cells, all captures together."""

ADD_PLAN: Final = """
insert into series_planned as t (series_id, repo_id, unit, value, cells)
select k.series_id, k.repo_id, k.unit, k.value, range_agg(k.cells::int4multirange)
from unnest(%s::text[], %s::bigint[], %s::text[], %s::int[], %s::text[]) as k(series_id, repo_id, unit, value, cells)
group by 1, 2, 3, 4 order by 1, 2
on conflict (series_id, repo_id) do update set cells = t.cells + excluded.cells
where t.unit = excluded.unit and t.value = excluded.value
"""
"""A plan on another grid than the first one of its (series, repository) is left out."""

ADD_FAILED: Final = """
insert into series_failed as t (series_id, repo_id, reason, cells)
select k.series_id, k.repo_id, k.reason, k.cells::int4multirange
from unnest(%s::text[], %s::bigint[], %s::text[], %s::text[]) as k(series_id, repo_id, reason, cells)
on conflict (series_id, repo_id, reason) do update set cells = t.cells + excluded.cells
"""


ADD_SNAPSHOTS: Final = """
insert into series_points_snapshots as t
  (series_id, repo_id, value, captures, commit, pushed_offset, rank, reason, counted_at, limits)
select * from unnest(%s::text[], %s::bigint[], %s::bigint[], %s::jsonb[], %s::text[], %s::bigint[], %s::bigint[],
                     %s::text[], %s::timestamptz[], %s::text[])
on conflict (series_id, repo_id) do update
set value = excluded.value, captures = excluded.captures, commit = excluded.commit,
    pushed_offset = excluded.pushed_offset, rank = excluded.rank, reason = excluded.reason,
    counted_at = excluded.counted_at, limits = excluded.limits
where (t.pushed_offset, t.rank) < (excluded.pushed_offset, excluded.rank)
"""
"""The greatest push stays, then the greatest rank; among equals the first."""


class Fresh(msgspec.Struct, frozen=True):
    """Rows of keys that have no outcome yet, as the three tables' COPY takes them; ``rows`` is how many points and holes."""

    covered: Sequence[Buffer]
    points: Sequence[Buffer]
    holes: Sequence[Buffer]
    rows: int

    @classmethod
    def of(cls, changes: Sequence[KeyChange]) -> "Fresh":
        """Joined at once: what a change was made of may be forgotten then, while it is still at hand."""
        return cls(
            _joined([change.covered for change in changes]),
            _joined([change.points for change in changes]),
            _joined([change.holes for change in changes if change.holes]),
            sum([change.rows for change in changes]),
        )


def write(cursor: Cursor, changes: CellChanges, *, clears: bool = True) -> int:
    """Apply ``changes``; the number of rows written. Rows of outranked cells are removed, where it ``clears``."""
    rows = _write_plans(cursor, changes.plans)
    rows += _write_failures(cursor, changes.failures)
    rows += _write_snapshots(cursor, changes.snapshots)
    if changes.keys or changes.left_out:
        rows += _write_cells(cursor, changes, clears=clears)
    return rows


def write_fresh(cursor: Cursor, fresh: Fresh) -> int:
    """Copy the rows; how many points and holes."""
    _copy(cursor, COPY_COVERAGE, fresh.covered)
    _copy(cursor, COPY_POINTS, fresh.points)
    _copy(cursor, COPY_HOLES, fresh.holes)
    return fresh.rows


def _write_cells(cursor: Cursor, changes: CellChanges, *, clears: bool) -> int:
    new, present, met, foreign = _sorted_out(cursor, changes.keys)
    _say_left_out(changes.left_out + len(foreign), foreign)
    settled = _settle(cursor, met)
    if settled:
        cursor.execute(DROP_COVERAGE, _columns(key for key, _ in settled))
        if clears:
            _clear(cursor, settled)
    _add_coverage(
        cursor,
        [(change.key, change.grid, change.coverage) for change in present]
        + [(key, outcome.cells.grid, outcome.coverage) for key, outcome in settled],
    )
    accepted = [key_change(key, outcome.cells) for key, outcome in settled]
    rows = sorted(new + present + accepted, key=_key_of) if present or accepted else new
    return write_fresh(
        cursor,
        Fresh(
            covered=_joined([change.covered for change in new]),
            points=_joined([change.points for change in rows]),
            holes=_joined([change.holes for change in rows if change.holes]),
            rows=sum(change.rows for change in rows),
        ),
    )


def _sorted_out(
    cursor: Cursor, keys: Sequence[KeyChange]
) -> tuple[list[KeyChange], list[KeyChange], list[KeyChange], list[KeyChange]]:
    """Those without any outcome yet; with outcomes for other cells; for some of these cells; on another grid."""
    if not keys:
        return [], [], [], []
    cursor.execute(
        PRESENT,
        (
            ",".join([change.key[0] for change in keys]),
            ",".join([str(change.key[1]) for change in keys]),
            ";".join([_cells_literal(change.coverage) for change in keys]),
            ",".join([f"{unit} {value}" for unit, value in (change.grid for change in keys)]),
        ),
    )
    found = {_integer(place) - 1: (overlaps, differs) for place, overlaps, differs in cursor}
    if not found:
        return list(keys), [], [], []
    new, present, met, foreign = [], [], [], []
    for place, change in enumerate(keys):
        overlaps, differs = found.get(place, (None, None))
        if overlaps is None:
            new.append(change)
        elif differs:
            foreign.append(change)
        elif overlaps:
            met.append(change)
        else:
            present.append(change)
    return new, present, met, foreign


def _key_of(change: KeyChange) -> Key:
    return change.key


def _cells_literal(coverage: Coverage) -> str:
    if len(coverage) == 1:
        return ranges.literal(coverage[0][1])
    return ranges.literal(ranges.normalised(pair for _, held in coverage for pair in held))


def _say_left_out(number: int, foreign: Sequence[KeyChange]) -> None:
    if number:
        RESULTS_LEFT_OUT.inc(number)
        _log.warning(
            "results_left_out",
            results=number,
            reason="their unit is another one than that of the first result of their series in their repository",
            first=None if not foreign else f"{foreign[0].key[0]} in {foreign[0].key[1]}: {foreign[0].grid}",
        )


def _settle(cursor: Cursor, met: Sequence[KeyChange]) -> list[tuple[Key, Settled]]:
    if not met:
        return []
    existing: list[list[tuple[int, Ranges]]] = [[] for _ in met]
    cursor.execute(COVERAGE_OF, _columns(change.key for change in met))
    for place, rank, cells in cursor:
        existing[_integer(place) - 1].append((_integer(rank), ranges.parse(str(cells))))
    outcomes = [
        (change.key, settle(before, change.cells())) for change, before in zip(met, existing, strict=True)
    ]
    return [(key, outcome) for key, outcome in outcomes if outcome.cells.coverage]


def _clear(cursor: Cursor, settled: Sequence[tuple[Key, Settled]]) -> None:
    cells: list[tuple[str, int, datetime]] = [
        (*key, instant(outcome.cells.unit, outcome.cells.value, index))
        for key, outcome in settled
        for index in outcome.removed
    ]
    if cells:
        parameters = tuple(list(column) for column in zip(*cells, strict=True))
        cursor.execute(DROP_CELLS.format(table="series_points"), parameters)
        cursor.execute(DROP_CELLS.format(table="insight_series_incomplete_points"), parameters)


def _add_coverage(
    cursor: Cursor, coverage: Iterable[tuple[Key, tuple[str, int], Iterable[tuple[int, Ranges]]]]
) -> None:
    """Of keys that have a row already."""
    rows = [
        (series_id, repo_id, rank, unit, value, ranges.literal(cells))
        for (series_id, repo_id), (unit, value), held in sorted(coverage, key=lambda held: held[0])
        for rank, cells in held
    ]
    if rows:
        cursor.execute(ADD_COVERAGE, tuple(list(column) for column in zip(*rows, strict=True)))


def _joined(rows: Sequence[bytes]) -> Sequence[Buffer]:
    return (b"".join(rows),) if rows else ()


def _copy(cursor: Cursor, statement: str, parts: Sequence[Buffer]) -> None:
    """``parts``, each at once: waiting for each megabyte would be a wait for the thread that decodes, too."""
    if not any(parts):
        return
    most_bytes = max(map(len, parts)) + len(HEADER)
    with cursor.copy(statement, writer=LibpqWriter(cursor, flush_threshold=most_bytes)) as copy:
        for part in (HEADER, *parts, TRAILER):
            copy.write(part)


def _write_plans(cursor: Cursor, plans: Iterable[PlanChange]) -> int:
    rows = [
        (plan.series_id, repository_id, plan.unit, plan.value, ranges.literal(plan.cells))
        for plan in plans
        if plan.cells
        for repository_id in plan.repository_ids
    ]
    if rows:
        cursor.execute(ADD_PLAN, tuple(list(column) for column in zip(*rows, strict=True)))
    return len(rows)


def _write_failures(cursor: Cursor, failures: Sequence[FailChange]) -> int:
    kept = [failure for failure in failures if failure.cells]
    if kept:
        cursor.execute(
            ADD_FAILED,
            (
                *_columns(failure.key for failure in kept),
                [failure.reason for failure in kept],
                [ranges.literal(failure.cells) for failure in kept],
            ),
        )
    return len(kept)


def _write_snapshots(cursor: Cursor, snapshots: Sequence[tuple[Key, Snapshot]]) -> int:
    if snapshots:
        found = [snapshot for _, snapshot in snapshots]
        cursor.execute(
            ADD_SNAPSHOTS,
            (
                *_columns(key for key, _ in snapshots),
                [one.value for one in found],
                [
                    None if one.captures is None else orjson.dumps(dict(one.captures)).decode()
                    for one in found
                ],
                [one.commit for one in found],
                [one.pushed_offset for one in found],
                [one.rank for one in found],
                [one.reason for one in found],
                [one.counted_at for one in found],
                [one.limits for one in found],
            ),
        )
    return len(snapshots)


def _columns(keys: Iterable[Key]) -> tuple[list[str], list[int]]:
    pairs = list(keys)
    return [series_id for series_id, _ in pairs], [repository_id for _, repository_id in pairs]


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"expected an integer from Postgres, got {value!r}")
    return value
