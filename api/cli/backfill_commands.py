"""``millstream insight pause|resume|cancel|retry|move|queue``: what people decide about the counting of the past."""

import shlex
from datetime import datetime
from typing import Final

import click
import msgspec

from api.cli import insight_questions as questions
from api.cli.client import Client, connect
from api.cli.insight_shown import failure
from api.cli.output import print_json, print_table
from infra.settings import load_settings

_SHOWN: Final = """
fragment Shown on InsightBackfillQueueItem {
  id insightViewId insightViewTitle seriesLabel seriesSearchQuery creator { username }
  backfillQueueStatus {
    state isPaused queuePosition cost percentComplete createdAt startedAt completedAt errors runtime
  }
}
"""
_QUEUE: Final = (
    """
query Queue($after: String, $find: String) {
  insightAdminBackfillQueue(first: 500, after: $after, textSearch: $find, orderBy: STATE) {
    nodes { ...Shown } pageInfo { endCursor hasNextPage }
  }
}
"""
    + _SHOWN
)


class _Status(msgspec.Struct, rename="camel"):
    state: str
    is_paused: bool
    queue_position: int | None
    cost: int | None
    percent_complete: int | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    errors: list[str]
    runtime: str | None


class _User(msgspec.Struct):
    username: str


class Item(msgspec.Struct, rename="camel"):
    """One line's backfill as commands show it."""

    id: str
    insight_view_id: str
    insight_view_title: str
    series_label: str
    series_search_query: str
    creator: _User | None
    backfill_queue_status: _Status


class _Page(msgspec.Struct, rename="camel"):
    class Info(msgspec.Struct, rename="camel"):
        end_cursor: str | None
        has_next_page: bool

    nodes: list[Item]
    page_info: Info


class _Queue(msgspec.Struct, rename="camel"):
    insight_admin_backfill_queue: _Page


class _Decided(msgspec.Struct):
    item: Item


@click.command(epilog="Example: millstream insight pause 'Old API'")
@click.argument("insight_id", metavar="NAME|ID")
def pause(insight_id: str) -> None:
    """Dispatch nothing more of an insight's past until it is resumed."""
    with connect(load_settings()) as client:
        one, before = _before(client, insight_id)
        _decide(client, "pauseInsightBackfill", one.id)
    if before.paused:
        click.echo(
            f"The past of {one.title} was paused already. Let it go on: millstream insight resume {shlex.quote(one.title)}"
        )
    elif before.waits:
        click.echo(
            f"The past of {one.title} is paused. Let it go on: millstream insight resume {shlex.quote(one.title)}"
        )
    else:
        click.echo(
            f"Nothing of the past of {one.title} waits now, so nothing stands still. What comes later will wait until: millstream insight resume {shlex.quote(one.title)}"
        )


@click.command(epilog="Example: millstream insight resume 'Old API'")
@click.argument("insight_id", metavar="NAME|ID")
def resume(insight_id: str) -> None:
    """Let the counting of an insight's past go on."""
    with connect(load_settings()) as client:
        one, before = _before(client, insight_id)
        if before.paused:
            _decide(client, "resumeInsightBackfill", one.id)
    if before.paused:
        click.echo(f"The past of {one.title} goes on.")
    else:
        click.echo(f"The past of {one.title} was not paused: nothing was changed.")


@click.command(epilog="Example: millstream insight cancel 'Old API'")
@click.argument("insight_id", metavar="NAME|ID")
def cancel(insight_id: str) -> None:
    """Never count what waits of an insight's past now. What is being counted ends."""
    with connect(load_settings()) as client:
        one, before = _before(client, insight_id)
        if before.waits:
            _decide(client, "cancelInsightBackfill", one.id)
    if before.waits:
        click.echo(
            f"What waited of the past of {one.title} is cancelled. Ask again: millstream insight retry {shlex.quote(one.title)}"
        )
    else:
        click.echo(f"Nothing of the past of {one.title} waits: there was nothing to cancel.")


@click.command(epilog="Example: millstream insight retry 'Old API'")
@click.argument("insight_id", metavar="NAME|ID")
def retry(insight_id: str) -> None:
    """Count again what of an insight finally failed or was cancelled."""
    with connect(load_settings()) as client:
        one, _ = _before(client, insight_id)
        cells = questions.cells(client, one.id)
        if failed := cells is not None and cells.failed > 0:
            _decide(client, "retryInsightSeriesBackfill", one.id)
    if failed:
        click.echo(f"What is missing of {one.title} is asked for again.")
    else:
        click.echo(f"Nothing of {one.title} has failed or was cancelled: there is nothing to ask for again.")


@click.command(epilog="Example: millstream insight move 'Old API' --to front")
@click.argument("insight_id", metavar="NAME|ID")
@click.option(
    "--to", "end", type=click.Choice(("front", "back")), required=True, help="Which end of the queue."
)
def move(insight_id: str, end: str) -> None:
    """Let an insight's past be counted before, or after, all others."""
    field = {
        "front": "moveInsightSeriesBackfillToFrontOfQueue",
        "back": "moveInsightSeriesBackfillToBackOfQueue",
    }[end]
    with connect(load_settings()) as client:
        item = _decide(client, field, questions.resolve(client, insight_id))
    place = item.backfill_queue_status.queue_position
    where = "nothing of it waits" if place is None else f"place {place} of those that wait"
    click.echo(f"{item.insight_view_title} is at the {end} of the queue: {where}.")


@click.command(
    epilog="Example: millstream insight queue --json | jq '.[] | select(.backfillQueueStatus.isPaused)'"
)
@click.option("--find", help="Only those with this text in the title or a label.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per line of an insight.")
def queue(find: str | None, as_json: bool) -> None:
    """Show how far the past of every insight is, and in which order they wait."""
    found = _queue(find)
    if as_json:
        print_json([msgspec.to_builtins(one) for one in found])
        return
    print_table(
        ("INSIGHT", "LINE", "STATE", "PLACE", "DONE", "RUNNING", "ERRORS"),
        [
            (
                one.insight_view_title,
                one.series_label,
                one.backfill_queue_status.state.lower()
                + (" (paused)" if one.backfill_queue_status.is_paused else ""),
                _text(one.backfill_queue_status.queue_position),
                _text(one.backfill_queue_status.percent_complete, " %"),
                one.backfill_queue_status.runtime or "",
                "; ".join(map(failure, one.backfill_queue_status.errors)),
            )
            for one in found
        ],
        empty="There is no insight yet: millstream insight create --title T --query Q",
    )


def _queue(find: str | None) -> list[Item]:
    found: list[Item] = []
    after: str | None = None
    with connect(load_settings()) as client:
        while True:
            page = client.ask(_QUEUE, {"after": after, "find": find}, _Queue).insight_admin_backfill_queue
            found += page.nodes
            after = page.page_info.end_cursor
            if not page.page_info.has_next_page:
                return found


def _before(client: Client, text: str) -> tuple[questions.Listed, questions.Waiting]:
    """The insight, and how it stands before anything is decided. Raises InsightUnknown."""
    found = questions.titled(client, questions.resolve(client, text))
    if found is None:
        raise questions.unknown(text)
    return found, questions.waiting(client, found)


def _decide(client: Client, field: str, identity: str) -> Item:
    mutation = f"mutation Decide($id: ID!) {{ item: {field}(id: $id) {{ ...Shown }} }}" + _SHOWN
    return client.ask(mutation, {"id": identity}, _Decided).item


def _text(number: int | None, unit: str = "") -> str:
    return "" if number is None else f"{number}{unit}"


commands: tuple[click.Command, ...] = (pause, resume, cancel, retry, move, queue)
