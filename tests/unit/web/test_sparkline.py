"""Sparklines: gaps, hollow dots, a scale from 0."""

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

from api.web.model import Point, Series
from api.web.palette import style_of
from api.web.sparkline import known_runs, sparkline

MONTHS = [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 6)]


def _series(values: list[int | None], incomplete: frozenset[int] = frozenset(), number: int = 0) -> Series:
    points = tuple(Point(MONTHS[i], value, i not in incomplete) for i, value in enumerate(values))
    return Series(f"s{number}", f"line {number}", "q", style_of(number, ""), points)


def _parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_a_missing_frame_is_a_gap_and_not_zero() -> None:
    svg = _parsed(sparkline([_series([4, None, 4, 0, 2])], label="x"))
    (line,) = [path for path in svg.iter("path") if path.get("class") == "line"]
    path = line.get("d") or ""
    assert path.count("M") == 2
    ys = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]
    # One lone point, then three; only the true zero lies on the base line.
    assert len(ys) == 4
    assert [y == 55.0 for y in ys] == [False, False, True, False]


def test_an_incomplete_point_is_hollow_and_the_newest_full() -> None:
    svg = _parsed(sparkline([_series([4, 3, 2, 1, 1], frozenset({1}))], label="x"))
    assert [dot.get("class") for dot in svg.iter("circle")] == ["dot hollow", "dot"]


def test_no_style_no_script_and_an_escaped_label() -> None:
    text = sparkline([_series([1, 2, 3, 4, 5])], label='<b>"&')
    assert "style=" not in text
    assert _parsed(text).get("aria-label") == '<b>"&'


def test_nothing_known_draws_only_the_base() -> None:
    svg = _parsed(sparkline([_series([None] * 5)], label="x"))
    assert [path.get("class") for path in svg.iter("path")] == ["base"]
    assert _parsed(sparkline([], label="x")).tag == "svg"


def test_runs_end_where_a_frame_is_missing() -> None:
    runs = known_runs(_series([None, 1, 2, None, 3]).points)
    assert [[point.value for point in run] for run in runs] == [[1, 2], [3]]
