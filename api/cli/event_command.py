"""``millstream event``: where is my event?"""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from enum import Enum
from typing import Final

import click
import msgspec

from api.cli.output import print_json, print_table
from api.logged import LoggedEvents
from api.operating import Operating
from api.tracing.asked import from_text
from api.tracing.chain import Bounds
from api.tracing.trace import Linked, Look, Trace
from api.tracing.tracer import trace
from infra.logging import configure
from infra.settings import load_settings
from schemas.envelope import Position

NOT_FOUND: Final = 1
_INDENT: Final = "  "


@click.command(
    "event",
    epilog="Examples: millstream event 6f0c1d3e-5b1a-5f63-9d55-2d1c7a0e9a11; millstream event millstream.results/3@17 --json",
)
@click.argument("event", metavar="ID|POSITION")
@click.option("--source", help="Of events with this id only the one that this source said.")
@click.option(
    "--depth",
    type=click.IntRange(0, 20),
    default=6,
    show_default=True,
    help="Levels of effects that are shown.",
)
@click.option(
    "--effects",
    "most",
    type=click.IntRange(0, 1_000),
    default=50,
    show_default=True,
    help="Effects that are shown at most.",
)
@click.option("--payload", "with_payload", is_flag=True, help="Show headers and payload too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def event_(
    ctx: click.Context,
    event: str,
    source: str | None,
    depth: int,
    most: int,
    with_payload: bool,
    as_json: bool,
) -> None:
    """Where an event is: received, valid, judged, passed by whom, what it caused, what is still owed.

    Named by its id, or by its position (topic/partition@offset), which finds dead letters without an envelope too. Asks
    Kafka and PostgreSQL themselves, so it answers while the API is down. Exit code 1: there is no such event.
    """
    settings = load_settings()
    configure("event", json=settings.log_format == "json", level="error")
    wanted = from_text(event, source)
    with ExitStack() as resources:
        operating, log = Operating(settings), LoggedEvents(settings)
        resources.callback(operating.close)
        resources.callback(log.close)
        found = trace(operating, log, wanted, Bounds(depth=depth, effects=most))
    if as_json:
        print_json(plain(found))
    else:
        _show(found, with_payload)
    if not found.found:
        ctx.exit(NOT_FOUND)


def plain(value: object) -> object:
    """Plain JSON with names in camelCase; positions as text."""
    if isinstance(value, Position):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return {_camel(name): plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value.value if isinstance(value, Enum) else value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _show(found: Trace, with_payload: bool) -> None:
    if found.type is not None:
        click.echo(f"{found.type}  {found.id or ''}  from {found.source or 'nobody named'}")
    for line in found.words:
        click.echo(line)
    if not found.found:
        return
    if found.other_sources:
        click.echo(f"The same id was used by {', '.join(found.other_sources)} too: name one with --source.")
    look = found.look
    if look is not None and look.correlation_id:
        click.echo(f"It belongs to the request {look.correlation_id}.")
    if len(found.publications) > 1:
        _section("Every time it came")
        print_table(
            ("POSITION", "APPENDED", "STATE", "REASON"),
            [
                (
                    str(one.position),
                    _time(one.appended_at),
                    one.verdict.state,
                    one.verdict.reason or (f"repeats {one.verdict.of}" if one.verdict.of else ""),
                )
                for one in found.publications
            ],
        )
    _section("Projections")
    print_table(
        ("PROJECTION", "GENERATION", "EVENT IS", "NEXT TO READ", "PASSED BY", "REASON"),
        [
            (
                one.projection,
                str(one.generation),
                one.passing.value,
                "-" if one.next_offset is None else str(one.next_offset),
                _time(one.passed_by),
                one.reason,
            )
            for one in found.passages
        ],
        empty="No projection reads its topic.",
    )
    if found.groups:
        _section("Agents")
        print_table(
            ("GROUP", "PASSED", "NEXT TO READ", "AGENTS THAT OWE SOMETHING"),
            [
                (
                    one.group,
                    "yes" if one.passed else "no",
                    "-" if one.next_offset is None else str(one.next_offset),
                    ", ".join(one.agents),
                )
                for one in found.groups
            ],
        )
    _show_chain(found)
    if found.owed:
        _section("Owed")
        for one in found.owed:
            state = "given up" if one.failed_at is not None else "open"
            click.echo(
                f"{_INDENT}{one.obligation} ({state}, attempt {one.attempt} of {one.attempts}): {one.message}"
            )
        if found.more_owed:
            click.echo(f"{_INDENT}and more for the same aggregate")
    if with_payload and look is not None:
        _show_record(look)


def _show_chain(found: Trace) -> None:
    if not found.causes and not found.effects:
        return
    _section("Chain of causes")
    above: Sequence[Linked] = list(reversed(found.causes))
    for number, one in enumerate(above):
        click.echo(_INDENT * (number + 1) + _link(one))
    click.echo(_INDENT * (len(above) + 1) + f"> {found.type}  {found.id}  {found.position}")
    for one in found.effects:
        click.echo(_INDENT * (len(above) + 1 + one.depth) + _link(one))
    if found.more_effects:
        click.echo(f"{_INDENT}and more: ask for one of these, or with a greater --depth or --effects")


def _link(one: Linked) -> str:
    if one.position is None:
        return f"{one.id}: not among the events of the last 30 days"
    state = "" if one.verdict is None or one.verdict.state == "ACCEPTED" else f"  {one.verdict.state}"
    return f"{one.type}  {one.id}  {one.position}{state}"


def _show_record(look: Look) -> None:
    _section("Record")
    click.echo(f"{_INDENT}key: {look.key if look.key is not None else 'none'}")
    for name, value in look.headers:
        click.echo(f"{_INDENT}{name}: {value}")
    click.echo(look.payload if look.payload is not None else f"{_INDENT}no value")


def _section(title: str) -> None:
    click.echo(f"\n{title}")


def _time(time: datetime | None) -> str:
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


commands: list[click.Command] = [event_]
