"""How far a rebuild is, on standard error: one live line on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Final, Self

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from projections.rebuild.control import Rebuild, RebuildState

_PLAIN_EVERY_S: Final = 2.0
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def size(size_bytes: float) -> str:
    """As people read it."""
    unit = 0
    while size_bytes >= 1000 and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes / 1000, unit + 1
    return f"{size_bytes:.0f} {_UNITS[unit]}" if unit == 0 else f"{size_bytes:.1f} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """As 1:02:03; a dash when nobody knows."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def line(one: Rebuild) -> str:
    """One rebuild in a line."""
    share = f"{100 * one.events / one.of_all:.0f} %" if one.of_all else ""
    shown = f"{one.projection} g{one.generation} {one.state.value}"
    if not one.of_all:
        return shown  # nobody has looked at the log yet, or it holds nothing of that time
    shown += f" {one.events:,} of {one.of_all:,} events ({share})"
    if one.state is RebuildState.FILLING:
        shown += f"  {one.events_per_s:,.0f}/s  ETA {duration(one.eta_s)}"
    return f"{shown}  {size(one.bytes)}"


class RebuildProgress:
    """Call it with the row whenever it is newer; leave it at the end."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
        self._next_s = 0.0
        self._state: RebuildState | None = None
        self._said = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, one: Rebuild) -> None:
        if self._live is not None:
            self._live.update(Text(line(one)))
            return
        now_s = time.monotonic()
        said = line(one)
        if said != self._said and (one.state is not self._state or now_s >= self._next_s):
            self._state, self._next_s, self._said = one.state, now_s + _PLAIN_EVERY_S, said
            click.echo(said, err=True)
