"""How insights look in a terminal: sparklines and tables. Missing is a dot, incomplete has a mark; neither is ever drawn as zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rich import box
from rich.markup import escape
from rich.table import Table

_STEPS: Final = "▁▂▃▄▅▆▇█"
MISSING: Final = "·"
INCOMPLETE: Final = "≥"
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart. ``values``, ``complete`` and each list of ``per_repository`` are parallel to ``times``.

    ``per_repository_complete`` holds the same for repositories; one that is not in it counts as complete.
    """

    label: str
    times: Sequence[datetime]
    values: Values
    complete: Sequence[bool]
    per_repository: Mapping[str, Values] = field(default_factory=dict)
    per_repository_complete: Mapping[str, Sequence[bool]] = field(default_factory=dict)


def sparkline(values: Values, *, highest: float | None = None) -> str:
    """One character per value, from zero to ``highest`` (default: the greatest of them); a dot where nothing is known."""
    known = [value for value in values if value is not None]
    top = max(known, default=0.0) if highest is None else highest
    return "".join(MISSING if value is None else _step(value, top) for value in values)


def number(value: float | None, *, complete: bool = True) -> str:
    """``1,234``, ``≥1,234`` for a lower bound, a dot when nothing is known."""
    if value is None:
        return MISSING
    text = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
    return text if complete else INCOMPLETE + text


def chart_table(title: str, lines: Sequence[Line]) -> Table:
    """The chart as a table: first value, sparkline, last value; below each line its repositories when there are several."""
    table = Table(
        title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    times = lines[0].times if lines else []
    table.add_column("series", overflow="fold")
    # Frames lie on a UTC grid: only those closer than a day have another time than midnight.
    form = "%Y-%m-%d %H:%M" if any((time.hour, time.minute) != (0, 0) for time in times) else "%Y-%m-%d"
    table.add_column(times[0].strftime(form) if times else "first", justify="right", no_wrap=True)
    table.add_column("trend", no_wrap=True)
    table.add_column(times[-1].strftime(form) if times else "last", justify="right", no_wrap=True)
    for line in lines:
        several = len(line.per_repository) > 1
        marks = list(line.complete) or [True]
        table.add_row(
            f"[bold]{escape(line.label)}[/]",
            number(_at(line.values, 0), complete=marks[0]),
            f"[cyan]{sparkline(line.values)}[/]",
            f"[bold]{number(_at(line.values, -1), complete=marks[-1])}[/]",
            end_section=not several,
        )
        repositories = list(line.per_repository.items()) if several else []
        for index, (name, values) in enumerate(repositories):
            whole = line.per_repository_complete.get(name) or [True]
            table.add_row(
                f"[dim]  {escape(name)}[/]",
                f"[dim]{number(_at(values, 0), complete=whole[0])}[/]",
                f"[dim]{sparkline(values)}[/]",
                f"[dim]{number(_at(values, -1), complete=whole[-1])}[/]",
                end_section=index == len(repositories) - 1,
            )
    return table


def _step(value: float, top: float) -> str:
    if top <= 0 or value <= 0:
        return _STEPS[0]
    return _STEPS[min(len(_STEPS) - 1, max(1, round(value / top * (len(_STEPS) - 1))))]


def _at(values: Values, index: int) -> float | None:
    return values[index] if values else None
