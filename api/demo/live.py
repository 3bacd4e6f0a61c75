"""The one live block: cells done of all, rate, lag. In place on a terminal, as plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from api.demo.lag import Lag

_WINDOW_S: Final = 2.0
_PLAIN_EVERY_S: Final = 1.0
_BAR: Final = 30


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known at one moment. ``planned`` is 0 until the scope is fixed; ``before`` says that all was counted in an earlier run."""

    planned: int
    done: int
    failed: int
    loading: bool
    lag: Lag
    before: bool = False


@dataclass(slots=True)
class Rate:
    """Cells per second over the last seconds. Time is passed in."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)
    last: float = 0.0

    def add(self, now_s: float, done: int, *, all_done: bool = False) -> float:
        """Note how many cells are done now; the rate. Once all were seen done, it stays as it was then."""
        if all_done and self.samples and self.samples[-1][1] == done:
            return self.last
        self.samples.append((now_s, done))
        while len(self.samples) > 2 and now_s - self.samples[1][0] > _WINDOW_S:
            self.samples.popleft()
        (first_s, first), (last_s, last) = self.samples[0], self.samples[-1]
        self.last = (last - first) / (last_s - first_s) if last_s > first_s else 0.0
        return self.last


def until_planned(progress: Progress, expected: int) -> Progress:
    """``progress``, without figures while a part of the ``expected`` cells is not planned yet: the total that is shown never grows.

    Before the plan is there, a series has only the cells that an earlier insight asked for.
    """
    if progress.loading and progress.planned < expected:
        return replace(progress, planned=0, done=0, failed=0)
    return progress


class Block(Protocol):
    """Where progress is shown."""

    def show(self, progress: Progress, rate: float) -> None: ...
    def close(self) -> None: ...


class LiveBlock:
    """Redrawn in place; for terminals."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def show(self, progress: Progress, rate: float) -> None:
        """Draw it anew."""
        self._live.update(drawing(progress, rate), refresh=True)

    def close(self) -> None:
        """Leave the last drawing where it is."""
        self._live.stop()


class PlainBlock:
    """One line when something changed, at most one per second; for pipes and files."""

    def __init__(self, report: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._last = ""
        self._last_s = float("-inf")

    def show(self, progress: Progress, rate: float) -> None:
        """Print a line, when it says something new."""
        line = plain(progress, rate)
        finished = not progress.loading
        if line == self._last or (not finished and self._clock() - self._last_s < _PLAIN_EVERY_S):
            return
        self._last, self._last_s = line, self._clock()
        self._report(line)

    def close(self) -> None:
        """Nothing is kept open."""


def open_block(console: Console, report: Callable[[str], None]) -> Block:
    """The block that fits this output."""
    return LiveBlock(console) if console.is_terminal else PlainBlock(report)


def plain(progress: Progress, rate: float) -> str:
    """The block as one line."""
    if not progress.planned:
        return f"counting the past: being planned, lag {progress.lag}"
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    speed = _speed(progress, rate)
    return f"counting the past: {progress.done:,} of {progress.planned:,} cells{failed}, {speed}, lag {progress.lag}"


def drawing(progress: Progress, rate: float) -> Table:
    """The block as a small table."""
    share = progress.done / progress.planned if progress.planned else 0.0
    filled = round(share * _BAR)
    table = Table.grid(padding=(0, 2))
    bar = f"[cyan]{'█' * filled}[/][dim]{'░' * (_BAR - filled)}[/]"
    cells = f"{progress.done:,} of {progress.planned:,} cells" if progress.planned else "being planned"
    failed = f" [red]{progress.failed:,} failed[/]" if progress.failed else ""
    table.add_row("counting the past", bar, f"[bold]{cells}[/]{failed}")
    table.add_row("rate", _speed(progress, rate), f"lag {progress.lag}")
    return table


def _speed(progress: Progress, rate: float) -> str:
    return "counted in an earlier run" if progress.before else f"{rate:,.0f} cells/s"
