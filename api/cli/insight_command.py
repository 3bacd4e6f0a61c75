"""``millstream insight``: define code insights, and see their numbers."""

import re
import time
from collections.abc import Sequence
from typing import Final

import click

from api.cli import insight_questions as questions
from api.cli import insight_shown as shown
from api.cli.client import Client, connect
from api.cli.output import confirmed, console, print_json, print_table, progress, warn
from api.cli.query_hints import blanks_note
from api.cli.rendering import chart_table
from api.cli.repo_command import WaitTimedOut
from infra.settings import load_settings
from schemas.errors import MillstreamError

_POLL_S: Final = 0.5
_COLOR: Final = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})|var\(--oc-[a-z]+-\d\)")
_UNITS: Final = ("HOUR", "DAY", "WEEK", "MONTH", "YEAR")


class CountingFailed(MillstreamError):
    """Some of what was waited for has finally no value."""


@click.group(epilog="Example: millstream insight list && millstream insight show 'My insight'")
def insight() -> None:
    """Create, list, show and delete code insights."""


@insight.command(
    epilog="Example: millstream insight create --title 'Leaving the old API' "
    "--query 'old_api(' --label old --query 'new_api(' --label new --wait"
)
@click.option("--title", required=True, help="The chart's title.")
@click.option(
    "--query", "queries", multiple=True, required=True, help="A search query; one line of the chart each."
)
@click.option("--label", "labels", multiple=True, help="A line's label, in the order of the queries.")
@click.option("--color", "colors", multiple=True, help="A line's colour, in the order of the queries.")
@click.option("--description", default="", help="What the chart is about.")
@click.option(
    "--repo",
    "repositories",
    multiple=True,
    help="Count in this repository only (host/path); may be repeated.",
)
@click.option("--scope", help="Count in the repositories that this query chooses (only repo: filters).")
@click.option(
    "--interval", default="MONTH", show_default=True, help="Time between points: WEEK, '2 WEEK', ..."
)
@click.option("--frames", default=12, show_default=True, help="How many points of the past to count.")
@click.option("--captures", is_flag=True, help="One line per value that the query's group captures.")
@click.option("--key", help="A repeat with the same key names the same insight, and makes no second one.")
@click.option("--wait", is_flag=True, help="Return when all is counted.")
@click.option("--timeout", "timeout_s", default=600.0, show_default=True, help="Longest wait, in seconds.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object: {id, number, title, createdAt, isLoadingData, series}.",
)
def create(
    title: str,
    queries: tuple[str, ...],
    labels: tuple[str, ...],
    colors: tuple[str, ...],
    description: str,
    repositories: tuple[str, ...],
    scope: str | None,
    interval: str,
    frames: int,
    captures: bool,
    key: str | None,
    wait: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Define an insight: count the results of queries, now and in the past."""
    unit, value = read_interval(interval)
    lines = [_color(color) for color in colors]
    given = {
        "options": {"title": title},
        "description": description,
        "frames": frames,
        "repositoryScope": {"repositories": list(repositories), "repositoryCriteria": scope},
        "timeScope": {"stepInterval": {"unit": unit, "value": value}},
        "dataSeries": [
            {
                "query": query,
                "options": {"label": _at(labels, place), "lineColor": _at(lines, place)},
                "generatedFromCaptureGroups": captures,
            }
            for place, query in enumerate(queries)
        ],
    }
    for option, texts in (("--label", labels), ("--color", colors)):
        if len(texts) > len(queries):
            raise click.UsageError(f"{len(texts)} times {option} for {len(queries)} queries")
    for query in queries:
        if note := blanks_note(query):
            click.echo(note, err=True)
    with connect(load_settings()) as client:
        answer = client.ask(questions.CREATE, {"input": given}, questions.Created, idempotency_key=key)
        made = answer.create_line_chart_search_insight.view
        for notice in answer.create_line_chart_search_insight.notices:
            click.echo(f"Note: {notice.query!r}: {notice.message}", err=True)
        counted = wait_counted(client, made.id, timeout_s) if wait else None
        if counted is not None:
            made.is_loading_data = False
        whole = questions.whole(client, made.id) if counted is not None and counted.failed else None
        same = [one for one in questions.listed(client, title) if one.title == title and one.id != made.id]
    if as_json:
        print_json(made.as_json())
    else:
        click.echo(
            f"{made.title} is insight {made.database_id}. See it: millstream insight show {made.database_id}"
        )
    if same:
        warn(f"{title!r} is also insight {same[0].database_id}: commands have to name these by their numbers")
    raise_what_failed(counted, whole)


@insight.command("list", epilog="Example: millstream insight list --find api --json")
@click.option("--find", help="Only those with this text in the title or a label.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per insight.")
def list_(find: str | None, as_json: bool) -> None:
    """Show the insights."""
    with connect(load_settings()) as client:
        found = questions.listed(client, find)
        failed = questions.failures(client, find) if found else {}
    if as_json:
        print_json([one.as_json() | {"failed": failed.get(one.id, [])} for one in found])
        return
    print_table(
        ("NUMBER", "TITLE", "SERIES", "STATE", "CREATED"),
        [
            (
                one.database_id,
                one.title,
                str(one.series_count),
                _state(one, failed.get(one.id)),
                f"{one.created_at:%Y-%m-%d %H:%M}" if one.created_at else "",
            )
            for one in found
        ],
        empty="There is no insight yet: millstream insight create --title T --query Q",
    )


@insight.command(
    epilog="Example: millstream insight show 1768960502378518 --json | jq '.series[0].points[-1].value'"
)
@click.argument("insight_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Show it when all is counted.")
@click.option("--timeout", "timeout_s", default=600.0, show_default=True, help="Longest wait, in seconds.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object: {id, title, isLoadingData, series: [{id, label, query, points, perRepository}]}.",
)
def show(insight_id: str, wait: bool, timeout_s: float, as_json: bool) -> None:
    """Show an insight: a table with a sparkline per line and repository.

    ID is its number, its GraphQL id, or its title when no other has the same. A dot stands for a frame of which
    nothing is known yet, ≥ for a lower bound.
    """
    with connect(load_settings()) as client:
        identity = questions.resolve(client, insight_id)
        counted = wait_counted(client, identity, timeout_s) if wait else None
        found = questions.whole(client, identity)
    if found is None:
        raise questions.unknown(insight_id)
    if as_json:
        print_json(shown.as_json(found))
        raise_what_failed(counted, found)
        return
    console().print(chart_table(found.title, shown.chart_lines(found)))
    if found.is_loading_data:
        done = sum(series.status.done_cells for series in found.data_series)
        planned = sum(series.status.planned_cells for series in found.data_series)
        click.echo(f"Still counting: {done:,} of {planned:,} cells. Wait for the rest: --wait")
    for sentence in shown.why_incomplete(found):
        click.echo(f"≥ or · because {sentence}")
    raise_what_failed(counted, found)


@insight.command(epilog="Example: millstream insight delete 'Old API' --yes")
@click.argument("insight_id", metavar="NAME|ID")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: {id, number, title, deleted}.")
def delete(insight_id: str, yes: bool, as_json: bool) -> None:
    """Delete an insight; what other insights draw too stays.

    NAME is its title when no other has the same, ID its number or its GraphQL id. Exit code 1 when there is none, or when
    the question is answered with no.
    """
    with connect(load_settings()) as client:
        identity = questions.resolve(client, insight_id)
        found = questions.titled(client, identity)
        if found is None:
            raise questions.unknown(insight_id)
        if not yes:
            confirmed(f"Delete the insight {found.title!r} ({found.database_id})?", "nothing was deleted")
        client.ask(questions.DELETE, {"id": identity}, questions.Deleted)
    if as_json:
        print_json({"id": found.id, "number": found.database_id, "title": found.title, "deleted": True})
    else:
        click.echo(f"{found.title} ({found.database_id}) is deleted")


def _state(one: questions.Listed, failed: Sequence[str] | None) -> str:
    """As the queue says it."""
    state = "counting" if one.is_loading_data else "counted" if failed is None else "failed"
    return f"{state}: {'; '.join(map(shown.failure, failed))}" if failed else state


def wait_counted(client: Client, identity: str, timeout_s: float) -> questions.CellsSoFar:
    """What there is when nothing of the insight is awaited any more. Raises WaitTimedOut."""
    deadline_s = time.monotonic() + timeout_s
    with progress("cells counted") as report:
        while True:
            found = questions.cells(client, identity)
            if found is None:
                raise questions.unknown(identity)
            report(found.done - found.failed, found.planned)
            if not found.loading:
                return found
            if time.monotonic() > deadline_s:
                raise WaitTimedOut(
                    f"{found.done:,} of {found.planned:,} cells are counted after {timeout_s:g} s",
                    remedy="See what it waits for: millstream insight queue, millstream settings list (a rate limit?), millstream lag.",
                )
            time.sleep(_POLL_S)


def raise_what_failed(counted: questions.CellsSoFar | None, whole: questions.Insight | None) -> None:
    """Raises CountingFailed, which says why, when cells that were waited for have finally no value."""
    if counted is None or not counted.failed:
        return
    why = [] if whole is None else shown.why_incomplete(whole)
    again = "" if whole is None else f" {whole.database_id}"
    raise CountingFailed(
        f"{counted.failed:,} of {counted.planned:,} cells could not be counted{': ' if why else ''}{'; '.join(why)}",
        remedy=f"See it by millstream insight show{again}; when that is mended: millstream insight retry{again}. "
        "Or follow the repository no longer: millstream repo remove NAME.",
    )


def read_interval(text: str) -> tuple[str, int]:
    """``WEEK`` or ``2 WEEK``, in either case, singular or plural. Raises click.BadParameter."""
    words = text.upper().split()
    number, unit = (words[0], words[1]) if len(words) == 2 else ("1", words[0] if len(words) == 1 else "")
    unit = unit if unit in _UNITS else unit.removesuffix("S")
    if unit not in _UNITS or not number.isdigit() or not 1 <= int(number) <= 1000:
        raise click.BadParameter(
            f"{text!r} is no interval: say one of {', '.join(_UNITS)}, with a number before it if not 1"
        )
    return unit, int(number)


def _color(text: str) -> str:
    """A line's colour as the API takes it; names of the palette stand for their values. Raises click.BadParameter."""
    from api.web.palette import PALETTE

    values = {name.lower(): value for value, name in PALETTE}
    wanted = text.strip().lower()
    if wanted in values:
        return values[wanted]
    if _COLOR.fullmatch(wanted):
        return wanted
    names = ", ".join(name for _, name in PALETTE)
    raise click.BadParameter(f"{text!r} is no colour: say one of {names}; or #rrggbb, #rgb, var(--oc-blue-5)")


def _at(texts: Sequence[str], place: int) -> str | None:
    return texts[place] if place < len(texts) else None
