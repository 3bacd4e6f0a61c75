"""Small line charts as SVG, drawn on the server: readable without a script, safe under a strict content policy."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from markupsafe import Markup, escape

from api.web.model import Point, Series
from api.web.palette import SeriesStyle

_PAD = 5.0
_NOBODY_LOOKED = timedelta(minutes=2)
_PLAIN = SeriesStyle(colour=0, marker="circle", dash=())
_Place = tuple[float, float]


def sparkline(series: Sequence[Series], *, label: str, width: int = 240, height: int = 60) -> Markup:
    """All lines of an insight on one scale that begins at 0; ``width`` and ``height`` in user units (pixels at 1:1).

    A missing frame is a gap, an incomplete point is a hollow dot, the newest point is a full dot.
    """
    times = sorted({point.time for line in series for point in line.drawn})
    top = max((point.value or 0 for line in series for point in line.drawn), default=0)
    scale = _Scale(times, max(top, 1), width, height)
    parts = [f'<path class="base" d="M{_PAD} {height - _PAD}H{width - _PAD}"/>']
    parts.extend(_line(line, scale) for line in series)
    body = "".join(parts)
    return Markup(
        f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{body}</svg>'
    )


def trace(
    times: Sequence[datetime], values: Sequence[float], *, label: str, width: int = 160, height: int = 32
) -> Markup:
    """One value over time, on a scale that begins at 0; a gap where nobody looked for two minutes."""
    points: list[Point] = []
    for time, value in zip(times, values, strict=True):
        if points and time - points[-1].time > _NOBODY_LOOKED:
            points.append(Point(points[-1].time + _NOBODY_LOOKED / 2, None))
        points.append(Point(time, round(value)))
    line = Series(id="", label=label, query="", style=_PLAIN, points=tuple(points))
    return sparkline((line,), label=label, width=width, height=height)


class _Scale:
    """Places times and values inside the box."""

    def __init__(self, times: Sequence[datetime], top: int, width: int, height: int) -> None:
        self._first = times[0] if times else None
        self._span_s = (times[-1] - times[0]).total_seconds() if len(times) > 1 else 0.0
        self._top, self._width, self._height = top, width, height

    def place(self, time: datetime, value: int) -> _Place:
        """Where a point stands, rounded to tenths of a pixel."""
        share = 0.5
        if self._first is not None and self._span_s:
            share = (time - self._first).total_seconds() / self._span_s
        x = _PAD + share * (self._width - 2 * _PAD)
        y = self._height - _PAD - value / self._top * (self._height - 2 * _PAD)
        return round(x, 1), round(y, 1)


def _line(series: Series, scale: _Scale) -> str:
    style = series.style
    paint = f' stroke="{escape(style.custom)}"' if style.custom else ""
    colour = "custom" if style.custom else f"c{style.colour}"
    dash = f' stroke-dasharray="{" ".join(map(str, style.dash))}"' if style.dash else ""
    runs = [[scale.place(p.time, p.value or 0) for p in run] for run in known_runs(series.drawn)]
    path = "".join(_path(run) for run in runs)
    parts = [f'<path class="line" d="{path}"{dash}{paint}/>'] if path else []
    latest = series.latest
    for point in series.drawn:
        if point.value is None or (point.complete and point is not latest):
            continue
        x, y = scale.place(point.time, point.value)
        hollow = "" if point.complete else " hollow"
        parts.append(f'<circle class="dot{hollow}" cx="{x}" cy="{y}" r="2.6"{paint}/>')
    return f'<g class="{colour}">{"".join(parts)}</g>'


def known_runs(points: Sequence[Point]) -> list[list[Point]]:
    """The points with a value, cut where a frame is missing."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point.missing:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _path(run: Sequence[_Place]) -> str:
    head, *rest = run
    # A run of one point gets a stroke of no length: round caps make it visible.
    tail = "".join(f"L{x} {y}" for x, y in rest) or "h0"
    return f"M{head[0]} {head[1]}{tail}"
