"""``millstream verify``: are the tables what the log says?"""

import sys
from contextlib import ExitStack
from typing import Final

import click

from api.cli.output import Report, print_json, print_table, progress
from infra.logging import configure
from infra.settings import load_settings
from projections.catalogue import PROJECTIONS
from projections.verification.verify import SHOWN, Comparison, Outcome, verify
from schemas.errors import MillstreamError

EXIT_DIFFERENT: Final = 1
EXIT_COULD_NOT: Final = 3


@click.command(
    "verify",
    epilog="Examples: millstream verify; millstream verify series_points --json",
)
@click.argument(
    "names", nargs=-1, type=click.Choice([one.name for one in PROJECTIONS]), metavar="[PROJECTION]..."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds for all together; default: no limit.",
)
@click.option(
    "--differences",
    "shown",
    type=click.IntRange(min=0),
    default=SHOWN,
    show_default=True,
    help="How many are printed of each projection.",
)
def verify_(names: tuple[str, ...], as_json: bool, timeout_s: float | None, shown: int) -> None:
    """Replay the log beside the live tables and compare them row for row.

    Readers and projectors go on meanwhile. Exit code 0: equal; 1: something differs, the first differences are printed;
    3: a comparison could not be made, the reason is printed.
    """
    try:
        settings = load_settings()
        configure("verify", json=settings.log_format == "json", level="warning")
        with _Progress() as report:
            found = verify(settings, names, timeout_s=timeout_s, report=report, shown=shown)
    except MillstreamError as error:
        from api.cli.main import show_error

        show_error(error)
        sys.exit(EXIT_COULD_NOT)
    if as_json:
        print_json({"projections": [_plain(one) for one in found]})
    else:
        _print(found)
    outcomes = {one.outcome for one in found}
    if Outcome.DIFFERENT in outcomes:
        sys.exit(EXIT_DIFFERENT)
    if Outcome.REFUSED in outcomes:
        sys.exit(EXIT_COULD_NOT)


class _Progress(ExitStack):
    """One bar per projection, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._name = ""
        self._report: Report = lambda done, of_all: None

    def __call__(self, name: str, done: int, of_all: int) -> None:
        """``done`` records of ``of_all`` of the projection ``name`` are replayed."""
        if name != self._name:
            self.close()
            self._name, self._report = name, self.enter_context(progress(f"replaying {name}"))
        self._report(done, of_all)


def _print(found: list[Comparison]) -> None:
    print_table(
        ("PROJECTION", "GEN", "RESULT", "EVENTS", "ROWS", "DIFFERENT", "SECONDS", "EVENTS/S"),
        [
            (
                one.projection,
                str(one.generation),
                one.outcome.value,
                f"{one.events:,}",
                f"{one.rows:,}",
                f"{one.different:,}",
                f"{one.seconds:.1f}",
                f"{one.events_per_second:,.0f}",
            )
            for one in found
        ],
        empty="nothing to verify",
    )
    for one in found:
        for difference in one.differences:
            click.echo(f"{one.projection}: {difference}")
        if one.different and len({(each.table, each.key) for each in one.differences}) < one.different:
            click.echo(f"{one.projection}: {one.different:,} rows differ in all")
        if one.outcome is Outcome.REFUSED:
            click.echo(f"{one.projection}: {one.reason}", err=True)
            if one.remedy:
                click.echo(f"what to do: {one.remedy}", err=True)


def _plain(one: Comparison) -> dict[str, object]:
    return {
        "name": one.projection,
        "generation": one.generation,
        "result": one.outcome.value,
        "reason": one.reason,
        "remedy": one.remedy,
        "events": one.events,
        "rows": one.rows,
        "different": one.different,
        "seconds": round(one.seconds, 3),
        "eventsPerSecond": round(one.events_per_second),
        "differences": [
            {
                "table": each.table,
                "key": each.key,
                "kind": each.kind.value,
                "column": each.column,
                "live": each.live,
                "replayed": each.replayed,
            }
            for each in one.differences
        ],
    }


commands: list[click.Command] = [verify_]
