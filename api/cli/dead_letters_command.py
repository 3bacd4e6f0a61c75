"""``millstream dead-letters``: what projections put aside, and what operators order about it."""

import getpass
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, ParamSpec

import click
import msgspec
from sqlalchemy import Connection, Engine, text

from api.cli.dead_letters_shown import entry_row, plain_entry, plain_whole, print_outcomes, print_whole
from api.cli.output import confirmed, print_json, print_table
from api.commands.dead_letters import NAMES, drops, partitions_of, redrives
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import load_settings
from projections.catalogue import projection as declared
from projections.dead_letters import listing
from projections.dead_letters.filters import Entry, Filter, Key, Kind
from projections.dead_letters.flood import no_events
from projections.dead_letters.outcomes import Carried, carried, is_done
from projections.dead_letters.record import whole
from projections.generations import live_generations
from schemas.codec import new_event
from schemas.envelope import Position
from schemas.errors import MillstreamError
from schemas.events import DropOrdered, RedriveOrdered

SOURCE: Final = "//millstream/cli"
_PAGE: Final = 1_000
_POLL_S: Final = 0.25
_TIMEOUT_S: Final = 60.0
P = ParamSpec("P")


class NothingMeant(MillstreamError):
    """What was named is not put aside."""


@click.group("dead-letters", epilog="Example: millstream dead-letters list --projection insights")
def dead_letters() -> None:
    """What projections put aside: records that are no events, and events at which a fold failed.

    A dead letter is no event: it can be dropped only. An event in quarantine met a bug, and its aggregate's later events wait
    behind it: once the fold is corrected, redrive it.
    """


def _filters(command: Callable[P, None]) -> Callable[P, None]:
    """The options by which records are chosen."""
    for option in reversed(
        (
            click.option(
                "--projection",
                "projections",
                multiple=True,
                type=click.Choice(NAMES),
                help="Of this projection (repeatable).",
            ),
            click.option("--topic", help="On this topic."),
            click.option("--aggregate", help="With this record key."),
            click.option("--why", "reason", help="With this text in the reason."),
            click.option("--path", help="With this text in the path of the field at fault."),
            click.option("--since", type=click.DateTime(), help="Appended at or after this time (UTC)."),
            click.option("--until", type=click.DateTime(), help="Appended before this time (UTC)."),
        )
    ):
        command = option(command)
    return command


@dead_letters.command(
    "list", epilog="Example: millstream dead-letters list --projection insights --why KeyError"
)
@_filters
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only these.")
@click.option("--waiting", is_flag=True, help="Also every event that waits behind another.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def list_(limit: int, as_json: bool, **given: object) -> None:
    """List dead letters and events in quarantine, the newest first."""
    wanted = _filter(given)
    with _connected() as (connection, _):
        live = live_generations(connection)
        found = listing.entries(connection, live, wanted, first=limit)
        of_all = listing.count(connection, live, wanted)
    if as_json:
        print_json({"total": of_all, "entries": [plain_entry(one) for one in found]})
        return
    print_table(
        ("KIND", "PROJECTION", "POSITION", "AGGREGATE", "WAITING", "APPENDED", "REASON"),
        [entry_row(one) for one in found],
        empty="Nothing is put aside.",
    )
    if of_all > len(found):
        click.echo(f"{len(found):,} of {of_all:,}: name a filter, or --limit", err=True)


@dead_letters.command(epilog="Example: millstream dead-letters show millstream.insights/0@17")
@click.argument("position", callback=lambda context, parameter, given: _position(given))
@click.option(
    "--projection", "projections", multiple=True, type=click.Choice(NAMES), help="Only of this projection."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per projection.")
def show(position: Position, projections: tuple[str, ...], as_json: bool) -> None:
    """Show everything about the record at POSITION (topic/partition@offset), for every projection that put it aside."""
    with _connected() as (connection, _):
        live = live_generations(connection)
        found = listing.entries(
            connection, live, Filter(projections=projections, position=position), first=len(NAMES)
        )
        shown = [
            one for entry in found if (one := whole(connection, live[entry.projection], entry)) is not None
        ]
    if not shown:
        raise NothingMeant(
            f"the record at {position} is not put aside",
            remedy="millstream dead-letters list, or millstream event to see what became of it",
        )
    if as_json:
        print_json([plain_whole(one) for one in shown])
        return
    for one in shown:
        print_whole(one)


@dead_letters.command(epilog="Example: millstream dead-letters redrive --projection insights --all --dry-run")
@click.argument(
    "positions", nargs=-1, callback=lambda context, parameter, given: tuple(map(_position, given))
)
@_filters
@click.option("--all", "everything", is_flag=True, help="Everything in quarantine that the filters leave.")
@click.option("--dry-run", is_flag=True, help="Fold, say what would happen, and take it back.")
@click.option("--note", default="", help="Why, for the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout", "timeout_s", default=_TIMEOUT_S, show_default=True, help="Seconds to wait for the outcome."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def redrive(
    positions: tuple[Position, ...],
    everything: bool,
    dry_run: bool,
    note: str,
    yes: bool,
    timeout_s: float,
    as_json: bool,
    **given: object,
) -> None:
    """Fold the queued events of aggregates again, in their order.

    Name events in quarantine by POSITION, or filters, or --all. What still fails stays, with what waits behind it, and everything
    before it is folded. Exit code 1 when something still fails, or is not carried out in time.
    """
    wanted = _filter({**given, "kind": Kind.QUARANTINED.value})
    with _connected() as (connection, database):
        found = _to_redrive(connection, wanted, positions, everything)
        places = listing.aggregates(found)
        number = sum(map(len, places.values()))
        if not dry_run and not yes:
            confirmed(f"Redrive {number:,} aggregates of {', '.join(places)}?", "Nothing was ordered.")
        orders = redrives(places, ordered_by=getpass.getuser(), reason=note, dry_run=dry_run)
        _carry(database, orders, timeout_s, as_json=as_json, dry_run=dry_run)


@dead_letters.command(
    epilog="Example: millstream dead-letters drop millstream.results/3@17 --reason 'sent by a test'"
)
@click.argument(
    "positions", nargs=-1, callback=lambda context, parameter, given: tuple(map(_position, given))
)
@_filters
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only these.")
@click.option("--all", "everything", is_flag=True, help="Everything that the filters leave.")
@click.option("--reason", "note", required=True, help="Why: it is kept for ever.")
@click.option("--dry-run", is_flag=True, help="Only list what would be dropped.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout", "timeout_s", default=_TIMEOUT_S, show_default=True, help="Seconds to wait for the outcome."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def drop(
    positions: tuple[Position, ...],
    everything: bool,
    note: str,
    dry_run: bool,
    yes: bool,
    timeout_s: float,
    as_json: bool,
    **given: object,
) -> None:
    """Leave records out of a projection for ever: dead letters, or events in quarantine.

    A rebuild leaves them out too. What waited behind a dropped event is folded then. The bytes are gone with it; position, reason,
    who and when stay.
    """
    wanted = _filter(given)
    with _connected() as (connection, database):
        found = _meant(connection, wanted, positions, everything)
        if dry_run:
            if as_json:
                print_json({"dryRun": True, "entries": [plain_entry(one) for one in found]})
            else:
                print_table(
                    ("KIND", "PROJECTION", "POSITION", "AGGREGATE", "WAITING", "APPENDED", "REASON"),
                    [entry_row(one) for one in found],
                )
                click.echo(f"{len(found):,} records would be dropped. Nothing was changed.")
            return
        if not yes:
            confirmed(f"Drop {len(found):,} records for ever?", "Nothing was ordered.")
        orders = drops(listing.records(found), ordered_by=getpass.getuser(), reason=note)
        _carry(database, orders, timeout_s, as_json=as_json, dry_run=False)


@dead_letters.command(
    "drop-flood", epilog="Example: millstream dead-letters drop-flood results --reason 'a broken publisher'"
)
@click.argument("projection", type=click.Choice(NAMES))
@click.option("--reason", required=True, help="Why: it is kept for ever.")
@click.option("--dry-run", is_flag=True, help="Only count what would be dropped.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def drop_flood(projection: str, reason: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Leave out what PROJECTION has still to read and that is no event, unseen and unkept.

    For a projection that stopped because most of the log is no events. Start the projector again afterwards.
    """
    with _connected() as (connection, _):
        live = live_generations(connection)[projection]
        rows = connection.execute(
            text(f'select topic, partition, next_offset from "{live.schema_name}".checkpoints')
        )
        passed = {(topic, number): next_offset for topic, number, next_offset in rows}
    found = no_events(load_settings(), declared(projection), passed)
    if found and not dry_run:
        if not yes:
            confirmed(f"Drop {len(found):,} records for ever?", "Nothing was ordered.")
        orders = drops({projection: found}, ordered_by=getpass.getuser(), reason=reason)
        with Publisher(load_settings(), client_id="millstream-cli") as publisher:
            publisher.publish([new_event(one, source=SOURCE, time=datetime.now(UTC)) for one in orders])
    if as_json:
        print_json({"projection": projection, "records": len(found), "dryRun": dry_run})
        return
    click.echo(f"{len(found):,} records {'would be' if dry_run else 'are'} left out of {projection}.")
    if found and not dry_run:
        click.echo("Start the projector again: it leaves them out before it reads on.")


def _meant(
    connection: Connection, wanted: Filter, positions: tuple[Position, ...], everything: bool
) -> list[Entry]:
    """The entries that somebody named. Raises NothingMeant, click.UsageError."""
    live = live_generations(connection)
    named = [
        one
        for at in positions
        for one in listing.entries(
            connection, live, msgspec.structs.replace(wanted, position=at), first=len(NAMES)
        )
    ]
    if missing := [at for at in positions if at not in {one.position for one in named}]:
        raise NothingMeant(
            f"the record at {missing[0]} is not put aside: what was folded stays",
            remedy="millstream dead-letters list",
        )
    if positions:
        return named
    if msgspec.structs.replace(wanted, kind=None, projections=()).names_nothing and not everything:
        raise click.UsageError("name positions or filters, or say --all")
    found: list[Entry] = []
    after: Key | None = None
    while page := listing.entries(connection, live, wanted, first=_PAGE, after=after):
        found += page
        after = page[-1].key
    if not found:
        raise NothingMeant("nothing of that is put aside", remedy="millstream dead-letters list")
    return found


def _to_redrive(
    connection: Connection, wanted: Filter, positions: tuple[Position, ...], everything: bool
) -> list[Entry]:
    """As ``_meant``; a dead letter, which nobody can fold, is told apart from what is not put aside at all."""
    try:
        return _meant(connection, wanted, positions, everything)
    except NothingMeant as nothing:
        live = live_generations(connection)
        anything = msgspec.structs.replace(wanted, kind=Kind.DEAD_LETTER)
        for at in positions or (None,):
            letters = msgspec.structs.replace(anything, position=at) if at is not None else anything
            if found := listing.entries(connection, live, letters, first=1):
                one = found[0].position
                raise NothingMeant(
                    f"{one} is a dead letter: it is no event, and never can be folded",
                    remedy=f"Publish a corrected event, then leave it out: millstream dead-letters drop {one} --reason …",
                ) from nothing
        raise


def _carry(
    database: Engine,
    orders: list[RedriveOrdered] | list[DropOrdered],
    timeout_s: float,
    *,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Publish the orders, wait until they are carried out, and print what became of them."""
    events = [new_event(one, source=SOURCE, time=datetime.now(UTC)) for one in orders]
    with Publisher(load_settings(), client_id="millstream-cli") as publisher:
        positions = publisher.publish(events)
    deadline_s = time.monotonic() + timeout_s
    found: list[tuple[str, Carried]] = []
    pending: dict[Position, RedriveOrdered | DropOrdered] = dict(zip(positions, orders, strict=True))
    while pending and time.monotonic() < deadline_s:
        with database.connect() as connection:
            live = live_generations(connection)
            for at, order in list(pending.items()):
                if is_done(connection, live[order.projection], at.offset, partitions_of(order)):
                    found += [
                        (order.projection, one)
                        for one in carried(connection, live[order.projection], at.offset)
                    ]
                    del pending[at]
        if pending:
            time.sleep(_POLL_S)
    print_outcomes(positions, found, as_json=as_json, dry_run=dry_run)
    if pending:
        click.echo(
            f"not carried out within {timeout_s:g} s: is a projector running? (millstream projection list) It will be, when one runs.",
            err=True,
        )
    if pending or any(one.outcome in ("STILL_FAILS", "REFUSED") for _, one in found):
        sys.exit(1)


@contextmanager
def _connected() -> Iterator[tuple[Connection, Engine]]:
    database = engine(load_settings(), Role.PROJECTOR, pool_size=2, name="cli")
    try:
        with database.connect() as connection:
            yield connection, database
    finally:
        database.dispose()


def _position(given: str) -> Position:
    try:
        return Position.parse(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _filter(given: Mapping[str, object]) -> Filter:
    times = {name: at.replace(tzinfo=UTC) for name, at in given.items() if isinstance(at, datetime)}
    return msgspec.convert({**given, **times}, Filter)


commands: list[click.Command] = [dead_letters]
