"""What templates may call: dates, numbers, plurals, JSON blocks, sparklines. All times are shown in UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from api.web.model import Insight
from api.web.sparkline import sparkline, trace

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
UNITS: tuple[tuple[str, str], ...] = (
    ("HOUR", "hours"),
    ("DAY", "days"),
    ("WEEK", "weeks"),
    ("MONTH", "months"),
    ("YEAR", "years"),
)


def install(env: Environment) -> None:
    """Adds filters and globals to ``env``; a name that a template does not get is an error, not an empty text."""
    env.undefined = StrictUndefined
    env.trim_blocks = True
    env.lstrip_blocks = True
    env.filters.update(
        iso=iso,
        clock=clock,
        day=day,
        moment=moment,
        number=number,
        count=count,
        duration=duration,
        every=every,
        summary=summary,
        pretty_json=pretty_json,
        json_block=json_block,
        explorer_query=explorer_query,
    )
    env.globals["asset"] = asset
    env.globals["sparkline"] = sparkline
    env.globals["lag_line"] = trace


def asset(path: str) -> str:
    """The address of a file of ``static/``."""
    return f"/static/{path}"


def iso(time: datetime) -> str:
    """RFC 3339 in UTC with ``Z``: ``2026-11-01T00:00:00Z``."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clock(time: datetime) -> str:
    """``12:03:04``."""
    return time.astimezone(UTC).strftime("%H:%M:%S")


def day(time: datetime) -> str:
    """``1 Nov 2026``; names of months do not follow the locale of the process."""
    utc = time.astimezone(UTC)
    return f"{utc.day} {_MONTHS[utc.month - 1]} {utc.year}"


def moment(time: datetime, unit: str) -> str:
    """A frame: its day, with the hour where frames are hours apart."""
    return f"{day(time)}, {time.astimezone(UTC):%H:%M} UTC" if unit == "HOUR" else day(time)


def number(value: int) -> str:
    """``12,345``."""
    return f"{value:,}"


def count(value: int, one: str, many: str = "") -> str:
    """``1 repository``, ``2 repositories``."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """``4 s``, ``3 min``, ``2 h``, ``5 d``: one unit, rounded down."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"


def every(insight: Insight) -> str:
    """The interval of an insight: ``month``, ``2 weeks``."""
    many = dict(UNITS).get(insight.unit, insight.unit.lower() + "s")
    return many[:-1] if insight.step == 1 else f"{insight.step} {many}"


def summary(insight: Insight) -> str:
    """One sentence that says what the chart shows, for those who do not see it."""
    lines = []
    for series in insight.series:
        known = [point for point in series.drawn if point.value is not None]
        if not known:
            lines.append(f"{series.label}: nothing counted yet")
            continue
        first, last = known[0], known[-1]
        text = f"{series.label}: from {number(first.value or 0)} on {moment(first.time, insight.unit)}"
        when = "now" if last.counted_at else f"on {moment(last.time, insight.unit)}"
        text += f" to {number(last.value or 0)} {when}"
        flawed = sum(not point.complete for point in known)
        lines.append(text + (f", {count(flawed, 'point')} incomplete" if flawed else ""))
    return f"{insight.title}. " + ". ".join(lines) + "." if lines else insight.title


def pretty_json(value: Mapping[str, object]) -> str:
    """JSON over several lines, for people; escaped by the template like any text."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def explorer_query(document: str, variables: Mapping[str, object]) -> str:
    """The query string with which the explorer begins with this operation."""
    return urlencode({"query": document, "variables": pretty_json(variables)})


def json_block(value: object) -> Markup:
    """JSON for a ``<script type="application/json">`` block: no character in it can end the block."""
    text = orjson.dumps(value).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
