"""``millstream projection rebuild`` and what else is done with generations."""

import getpass
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import click
import msgspec
from sqlalchemy import Engine

from api.cli.output import confirmed, print_json, print_table, warn
from api.cli.rebuild_progress import RebuildProgress, duration, size
from api.cli.times import Moment
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.logging import configure
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings, load_settings
from projections.catalogue import PROJECTIONS, projection
from projections.rebuild import control, events
from projections.rebuild.control import Rebuild, RebuildState
from projections.rebuild.dry_run import estimate
from projections.rebuild.errors import NoSuchRebuild
from projections.rebuild.following import follow
from projections.rebuild.groups import forget_dropped
from projections.rebuild.listing import generation_of
from projections.rebuild.until import log_begins
from schemas.envelope import Event

_NAMES: Final = [one.name for one in PROJECTIONS]
_NAME: Final = click.argument("name", type=click.Choice(_NAMES), metavar="PROJECTION")
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
_YES: Final = click.option("--yes", is_flag=True, help="Do not ask.")
_WAITING: Final = (RebuildState.READY, RebuildState.FAILED)


class _Until(click.ParamType):
    """A time, or ``topic/partition@offset``."""

    name = "time|position"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | str:
        return str(value) if "@" in str(value) else Moment().convert(value, param, ctx)


@click.command(
    epilog="Examples: millstream projection rebuild series_points --workers 2; "
    "millstream projection rebuild insights --until 2026-03-01"
)
@_NAME
@click.option(
    "--until", type=_Until(), help="Show the past: what was appended before a time, or up to a position."
)
@click.option(
    "--workers", type=click.IntRange(1, control.MAX_WORKERS), default=1, help="Processes that fold the log."
)
@click.option("--no-swap", is_flag=True, help="Fill and compare only.")
@click.option("--accept", is_flag=True, help="Swap although rows differ from the live generation's.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, from a sample; change nothing.")
@_JSON
def rebuild(
    name: str,
    until: datetime | str | None,
    workers: int,
    no_swap: bool,
    accept: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fill a projection anew from the log beside the live generation, compare both, and swap.

    Readers and projectors go on meanwhile, and the old generation stays. With --accept, a rebuild that waits for it goes on.
    Ctrl-C leaves the work to a running projector; pause or cancel stop it. Exit code 0: done; 1: it did not get there, the
    reason is printed.
    """
    settings = load_settings()
    configure("rebuild", json=settings.log_format == "json", level="warning")
    time, position = (None, until) if isinstance(until, str) else (until, None)
    with _database(settings) as engine, _interrupted() as stop:
        if dry_run:
            _dry_run(settings, engine, name, time, position, stop, as_json)
            return
        waiting = _latest(engine, name) if accept else None
        if waiting is not None and waiting.state in _WAITING and not waiting.scratch and until is None:
            ordered = control.accept(engine, waiting.id)
        else:
            if time is not None:
                _warn_if_empty(settings, name, time)
            ordered = control.order(
                engine,
                name,
                until=time,
                until_position=position,
                workers=workers,
                swap=not no_swap,
                accept=accept,
                ordered_by=getpass.getuser(),
            )
            _tell(settings, events.ordered(ordered))
        with RebuildProgress() as report:
            ended = follow(settings, engine, ordered.id, stop, report)
    _show(ended, as_json)
    if ended.state not in (RebuildState.SWAPPED, RebuildState.READY):
        sys.exit(1)


@click.command(epilog="Example: millstream projection rollback series_points")
@_NAME
@_JSON
def rollback(name: str, as_json: bool) -> None:
    """Lead readers back to the generation before the live one, at once.

    Refused, with the reason, unless that one is kept current by a running projector.
    """
    settings = load_settings()
    with _database(settings) as engine:
        done = control.rollback(engine, name, ordered_by=getpass.getuser())
        _tell(settings, done.event())
    if as_json:
        print_json(_camel(msgspec.to_builtins(done)))
        return
    click.echo(
        f"{name}: readers use generation {done.to_generation} again, not {done.from_generation} "
        f"(held {done.hold_ms:.0f} ms, swapped in {done.swap_ms:.0f} ms)"
    )


@click.command(
    "drop-generation", epilog="Example: millstream projection drop-generation series_points 3 --yes"
)
@_NAME
@click.argument("number", type=click.IntRange(1))
@_YES
@_JSON
def drop_generation(name: str, number: int, yes: bool, as_json: bool) -> None:
    """Drop a generation with all its rows and its consumer group; never the live one, nor one that is being filled."""
    settings = load_settings()
    with _database(settings) as engine:
        if not yes:
            with engine.connect() as connection:
                asked = generation_of(connection, name, number)
            _confirm_drop(asked)
        gone = control.drop_generation(engine, name, number)
        with KafkaAdmin(settings) as admin:
            for group in forget_dropped(engine, admin, name):
                warn(
                    f"somebody is still in the group {group}: it goes with the next generation that is dropped"
                )
    if as_json:
        print_json({"projection": name, "generation": number, "sizeBytes": gone.size_bytes})
        return
    click.echo(f"{name}: generation {number} is dropped ({size(gone.size_bytes)})")


@click.command(epilog="Example: millstream projection diff series_points 3 4")
@_NAME
@click.argument("a", type=click.IntRange(1))
@click.argument("b", type=click.IntRange(1))
@click.option("--differences", "shown", type=click.IntRange(min=0), default=20, show_default=True)
@_JSON
def diff(name: str, a: int, b: int, shown: int, as_json: bool) -> None:
    """Compare two generations row for row, as they are now. Exit code 1 when they differ."""
    with _database(load_settings()) as engine:
        found = control.diff(engine, name, a, b, shown)
    if as_json:
        print_json(_camel(msgspec.to_builtins(found)))
    else:
        print_table(
            ("TABLE", f"ROWS g{a}", f"ROWS g{b}", "DIFFERENT"),
            [
                (one.table, f"{one.rows[0]:,}", f"{one.rows[1]:,}", f"{one.different:,}")
                for one in found.tables
            ],
        )
        for text in (*found.notes, *found.differences):
            click.echo(text)
        if not found.same_vector:
            warn("they stand at different positions of the log: millstream projection generations " + name)
    if not found.equal:
        sys.exit(1)


@click.command(epilog="Example: millstream projection generations series_points --json")
@_NAME
@_JSON
def generations(name: str, as_json: bool) -> None:
    """The generations of a projection, and its rebuilds."""
    with _database(load_settings()) as engine, engine.connect() as connection:
        found = control.generations_of(connection, name)
        rebuilds = control.rebuilds(connection, name)
    if as_json:
        print_json(
            {
                "projection": name,
                "generations": [_camel(msgspec.to_builtins(one)) for one in found],
                "rebuilds": [_camel(msgspec.to_builtins(one)) for one in rebuilds],
            }
        )
        return
    print_table(
        ("GENERATION", "USE", "VERSION", "ROWS, ABOUT", "SIZE", "MADE", "SHOWS"),
        [
            (
                str(one.number),
                _use(one),
                str(one.version),
                f"{one.rows:,}" if one.rows_known else "not known yet",
                size(one.size_bytes),
                f"{one.created_at:%Y-%m-%d %H:%M:%S}",
                one.until_position or (f"{one.until:%Y-%m-%d %H:%M:%S}" if one.until is not None else "now"),
            )
            for one in found
        ],
        empty=f"{name} has no generation yet.",
    )
    for each in rebuilds[:10]:
        click.echo(
            f"rebuild {each.id}: generation {each.generation} {each.state.value}"
            f" {each.events:,} of {each.of_all:,} events, by {each.ordered_by}"
            + (f": {each.reason}" if each.reason else "")
        )


@click.command(epilog="Example: millstream projection pause series_points")
@_NAME
@_JSON
def pause(name: str, as_json: bool) -> None:
    """Let the open rebuild of a projection stand still where it is."""
    _step(name, as_json, control.pause)


@click.command(epilog="Example: millstream projection resume series_points")
@_NAME
@_JSON
def resume(name: str, as_json: bool) -> None:
    """Let a paused or failed rebuild go on from its checkpoints, in a running projector."""
    _step(name, as_json, control.resume)


@click.command(epilog="Example: millstream projection cancel series_points")
@_NAME
@_YES
@_JSON
def cancel(name: str, yes: bool, as_json: bool) -> None:
    """Give up the newest rebuild of a projection, and drop what it has filled; it asks when that was finished."""
    with _database(load_settings()) as engine:
        found = _latest(engine, name)
    if found is not None and found.state is RebuildState.READY and not yes:
        confirmed(
            f"Drop generation {found.generation} of {name}, which is filled: {found.reason}?",
            "nothing was dropped",
        )
    _step(name, as_json, control.cancel)


def _confirm_drop(one: control.GenerationInfo) -> None:
    """Ask, and say what is lost. Raises NotConfirmed."""
    lost = ": readers cannot be led back to it then" if one.kept else ""
    confirmed(
        f"Drop generation {one.number} of {one.projection} ({_use(one)}, {size(one.size_bytes)}){lost}?",
        "nothing was dropped",
    )


def _warn_if_empty(settings: Settings, name: str, until: datetime) -> None:
    """Say so when the log begins later than the time that is to be shown."""
    one = projection(name)
    with KafkaAdmin(settings) as admin:
        begins = log_begins(settings, admin, one)
    if begins is None or begins >= until:
        shown = "is empty" if begins is None else f"begins at {begins:%Y-%m-%d %H:%M:%S} UTC"
        warn(
            f"the log of {name} {shown}: nothing was known at {until:%Y-%m-%d %H:%M:%S} UTC, and this generation will be empty"
        )


def _step(name: str, as_json: bool, take: Callable[[Engine, int], Rebuild]) -> None:
    with _database(load_settings()) as engine:
        found = _latest(engine, name)
        if found is None:
            raise NoSuchRebuild(f"{name} was never rebuilt", remedy=f"millstream projection rebuild {name}")
        _show(take(engine, found.id), as_json)


def _latest(engine: Engine, name: str) -> Rebuild | None:
    with engine.connect() as connection:
        return next(iter(control.rebuilds(connection, name)), None)


def _dry_run(
    settings: Settings,
    engine: Engine,
    name: str,
    until: datetime | None,
    position: str | None,
    stop: threading.Event,
    as_json: bool,
) -> None:
    found = estimate(settings, engine, projection(name), until=until, until_position=position, stop=stop)
    if as_json:
        print_json({"dryRun": True, **_camel(msgspec.to_builtins(found))})
        return
    click.echo(
        f"{name}: {found.events:,} events would be folded beside generation {found.from_generation} "
        f"({size(found.live_size_bytes)}), in about {duration(found.seconds)} by one worker, into about "
        f"{size(found.size_bytes or 0)}; from a sample of {found.sampled:,} events. Nothing was changed."
    )


def _show(one: Rebuild, as_json: bool) -> None:
    if as_json:
        print_json(_camel(msgspec.to_builtins(one)))
        return
    place = f"{one.projection}: generation {one.generation}"
    match one.state:
        case RebuildState.SWAPPED:
            click.echo(
                f"{place} is live: {one.events:,} events, {size(one.bytes)}; "
                f"held {one.hold_ms or 0:.0f} ms, swapped in {one.swap_ms or 0:.0f} ms; "
                f"generation {one.from_generation} stays (millstream projection rollback {one.projection})"
            )
        case RebuildState.READY:
            click.echo(f"{place} is filled and not live: {one.reason}")
        case _:
            click.echo(f"{place} is {one.state.value}" + (f": {one.reason}" if one.reason else ""), err=True)
    for text in one.differences:
        click.echo(f"  {text}")
    if one.different > len(one.differences):
        click.echo(f"  {one.different:,} rows differ in all")


def _use(one: control.GenerationInfo) -> str:
    if one.live:
        return "live"
    if one.filling:
        return "being filled"
    if one.scratch:
        return "the past"
    return ("kept, current" if one.kept_current else "kept, stands still") if one.kept else "-"


def _tell(settings: Settings, event: Event) -> None:
    with Publisher(settings) as publisher:
        publisher.publish([event])


def _camel(values: object) -> dict[str, object]:
    found = msgspec.convert(values, dict[str, object])
    return {
        "".join(part if i == 0 else part.capitalize() for i, part in enumerate(name.split("_"))): value
        for name, value in found.items()
    }


@contextmanager
def _database(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(settings, Role.PROJECTOR, pool_size=2, name="cli")
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _interrupted() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM while the block lasts."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


commands: Final[list[click.Command]] = [
    rebuild,
    rollback,
    generations,
    diff,
    drop_generation,
    pause,
    resume,
    cancel,
]
