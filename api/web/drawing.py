"""From typed values to what the page of one insight needs: chart data, table rows, the breakdown of a frame."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from api.reasons import Reasons
from api.web.check_command import check_of
from api.web.model import Cell, Check, Insight, Point, RepositoryCells, Series
from api.web.templating import iso

NOW = "now"
"""How addresses call the newest counts, whose times move: ``?at=now``."""
Cells = Mapping[tuple[str, datetime], Sequence[Cell]]
"""Cells by (series id, frame)."""


class Row(msgspec.Struct, frozen=True):
    """One frame of the data table: a point per series, None where a series has no such frame. ``now``: the newest counts."""

    time: datetime
    points: tuple[Point | None, ...]
    now: bool = False


class LabelledCheck(msgspec.Struct, frozen=True):
    """How one number of the breakdown is checked."""

    label: str
    repository: str
    value: int
    command: str
    how: str


def table_rows(insight: Insight) -> list[Row]:
    """The data table, ascending in time."""
    columns = [{point.time: point for point in series.points} for series in insight.series]
    rows = [Row(time, tuple(column.get(time) for column in columns)) for time in insight.times]
    if insight.now_at is not None:
        rows.append(Row(insight.now_at, tuple(series.now for series in insight.series), now=True))
    return rows


def chart_data(insight: Insight, cells: Cells, selected: datetime | None) -> dict[str, object]:
    """The JSON that ``static/js/insight.js`` draws; ``t`` are Unix seconds, ``v`` null where a frame is missing.

    ``now`` is the ``t`` of the newest counts, which belong to no frame; their ``counted`` says when that was.
    """
    now = insight.now_at
    return {
        "unit": insight.unit,
        "loading": insight.loading,
        "now": int(now.timestamp()) if now else None,
        "at": None if selected is None else NOW if selected == now else iso(selected),
        "series": [
            {
                "id": series.id,
                "label": series.label,
                "colour": series.style.colour,
                "custom": series.style.custom,
                "marker": series.style.marker,
                "dash": series.style.dash,
                "points": [
                    _point(series, point, cells.get((series.id, point.time), ())) for point in series.drawn
                ],
            }
            for series in insight.series
        ],
    }


def _point(series: Series, point: Point, cells: Sequence[Cell]) -> dict[str, object]:
    drawn: dict[str, object] = {
        "t": int(point.time.timestamp()),
        "v": point.value,
        "complete": point.complete,
    }
    if point.counted_at is not None:
        drawn["counted"] = int(point.counted_at.timestamp())
    reasons = _reasons(cells) or point.reasons
    if reasons and not point.complete:
        drawn["reason"] = ", ".join(reasons)
    known = [cell for cell in cells if cell.value is not None]
    if known and point.value is not None:
        largest = max(known, key=lambda cell: (cell.value or 0, cell.repository))
        check = _check(series, largest)
        drawn["check"] = {
            "repository": largest.repository,
            "commit": largest.commit,
            "value": largest.value,
            "command": check.command,
            "how": check.how,
            "of": len(cells),
        }
    return drawn


def _reasons(cells: Sequence[Cell]) -> Sequence[str]:
    """Why a point is incomplete, each reason with the repositories it is about."""
    about: dict[str, list[str]] = {}
    for cell in cells:
        if not cell.complete:
            about.setdefault(cell.reason_code, []).append(cell.repository)
    return [Reasons.in_words(code, names) for code, names in sorted(about.items()) if code]


def breakdown(insight: Insight, cells: Cells, selected: datetime) -> list[RepositoryCells]:
    """The repositories of one frame, those with most results first, unknown ones last, then by name."""
    by_name: dict[str, list[Cell | None]] = {}
    for index, series in enumerate(insight.series):
        for cell in cells.get((series.id, selected), ()):
            row = by_name.setdefault(cell.repository, [None] * len(insight.series))
            row[index] = cell
    rows = [
        RepositoryCells(name, next((cell.commit for cell in row if cell and cell.commit), ""), tuple(row))
        for name, row in by_name.items()
    ]
    return sorted(rows, key=lambda row: (-_total(row), row.repository))


def _total(row: RepositoryCells) -> int:
    known = [cell.value for cell in row.cells if cell is not None and cell.value is not None]
    return sum(known) if known else -1


def checks(insight: Insight, rows: Sequence[RepositoryCells], limit: int = 12) -> list[LabelledCheck]:
    """How the first ``limit`` whole numbers of a breakdown, other than 0, are counted again."""
    made: list[LabelledCheck] = []
    for row in rows:
        for series, cell in zip(insight.series, row.cells, strict=True):
            if cell is None or not cell.value or not cell.complete or len(made) >= limit:
                continue
            check = _check(series, cell)
            made.append(LabelledCheck(series.label, row.repository, cell.value, check.command, check.how))
    return made


def _check(series: Series, cell: Cell) -> Check:
    if not cell.complete:
        return Check(how="A lower bound: git would stumble over, or see, what could not be counted.")
    return check_of(series.query, cell.location, cell.commit)
