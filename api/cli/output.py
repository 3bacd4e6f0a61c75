"""What commands print: JSON as one object, tables, and progress that is a bar on a terminal and plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import click
import orjson
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from schemas.errors import MillstreamError

_PLAIN_EVERY_S: Final = 2.0

Report = Callable[[int, int], None]
"""(done, of all)."""


def console() -> Console:
    """Standard output, as wide as the terminal; 110 columns elsewhere."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(width=110, highlight=False)


def print_json(value: object) -> None:
    """One JSON document, indented, keys in the order given."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str = "") -> None:
    """A table of plain text: folded to the width of a terminal, one line per row elsewhere.

    ``empty`` says what is missing when there are no rows.
    """
    if not rows and empty:
        click.echo(empty)
        return
    if not sys.stdout.isatty():
        click.echo("\n".join(plain_lines([headings, *rows])))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console().print(table)


def plain_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line per row however wide, columns aligned by two blanks or more: for pipes, where nothing may be folded."""
    shown = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [max(cell_len(row[place]) for row in shown) for place in range(len(shown[0]))]
    return [
        "  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]


def warn(text: str) -> None:
    """One line on standard error."""
    click.echo(f"warning: {text}", err=True)


class NotConfirmed(MillstreamError):
    """Somebody was asked whether it is meant, and did not say yes."""


def confirmed(question: str, otherwise: str) -> None:
    """Ask, on standard error. Raises NotConfirmed, which says ``otherwise``, unless the answer is yes."""
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as error:
        raise NotConfirmed(otherwise, remedy="Answer y, or say --yes.") from error


def typed(name: str, given: str | None, deed: str, otherwise: str) -> None:
    """The name of what is changed has to be typed, as an option or when it is asked for. Raises NotConfirmed."""
    if given is None:
        try:
            given = click.prompt(f"Type {name} to {deed}", err=True, default="", show_default=False)
        except click.Abort:
            given = ""
    if given.strip() != name:
        raise NotConfirmed(
            f"{otherwise}: the name that was typed is another one",
            remedy=f"Type {name}, or say --confirm {name}.",
        )


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Shows how far something is, on standard error: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _PlainProgress(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, of_all: int) -> None:
            bar.update(task, completed=done, total=of_all or None)

        yield report


class _PlainProgress:
    """A line when something changed, at most one every two seconds, and one at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown: tuple[int, int] | None = None
        self._next_s = 0.0

    def __call__(self, done: int, of_all: int) -> None:
        now_s = time.monotonic()
        finished = done == of_all > 0
        if (done, of_all) == self._shown or (now_s < self._next_s and not finished):
            return
        self._shown, self._next_s = (done, of_all), now_s + _PLAIN_EVERY_S
        click.echo(f"{self._what}: {done} of {of_all}", err=True)
