"""What the pages show, as typed values: made from GraphQL answers in ``answers``, drawn by templates and chart."""

from datetime import datetime

import msgspec

from api.web.backfill import Backfill
from api.web.palette import SeriesStyle
from schemas.grid import Interval, TimeUnit


class Point(msgspec.Struct, frozen=True):
    """One frame of a series. ``value`` is None where the frame is missing: planned, and nothing covers it.

    ``counted_at`` is there for the newest count alone: it belongs to no frame, and all lines of an insight show theirs
    at one ``time``, called "now".
    """

    time: datetime
    value: int | None
    complete: bool = True
    reasons: tuple[str, ...] = ()
    counted_at: datetime | None = None

    @property
    def missing(self) -> bool:
        """Whether nothing is known here: drawn as a gap, never as 0."""
        return self.value is None


class Series(msgspec.Struct, frozen=True):
    """One line. ``points`` are its frames: they ascend in time, missing ones too. ``now`` is the newest count."""

    id: str
    label: str
    query: str
    style: SeriesStyle
    points: tuple[Point, ...]
    loading: bool = False
    now: Point | None = None

    @property
    def drawn(self) -> tuple[Point, ...]:
        """The frames, and the newest count behind them."""
        return self.points if self.now is None else (*self.points, self.now)

    @property
    def latest(self) -> Point | None:
        """The newest point with a value."""
        return next((point for point in reversed(self.drawn) if not point.missing), None)


class Progress(msgspec.Struct, frozen=True):
    """Cells (repository, frame) with an outcome, of all that are planned, over the series of a view."""

    done: int
    planned: int

    @property
    def percent(self) -> int:
        """Whole per cent, rounded down so that 100 means done."""
        return 100 * self.done // self.planned if self.planned else 0


class Freshness(msgspec.Struct, frozen=True):
    """``applied_at``: everything appended until then is in the answer; ``behind``: something after it is not.

    None: nothing is applied yet.
    """

    applied_at: datetime | None = None
    behind: bool = False


class Insight(msgspec.Struct, frozen=True):
    """An insight as the list and its own page show it."""

    id: str
    title: str
    description: str
    series: tuple[Series, ...]
    loading: bool
    progress: Progress
    unit: str = "MONTH"
    step: int = 1
    scope: str = ""
    backfill: Backfill | None = None

    @property
    def times(self) -> tuple[datetime, ...]:
        """All frames of all series, ascending."""
        return tuple(sorted({point.time for series in self.series for point in series.points}))

    @property
    def now_at(self) -> datetime | None:
        """When the newest counts are shown; None where no line has one."""
        return next((series.now.time for series in self.series if series.now is not None), None)

    def next_frame(self, now: datetime) -> datetime | None:
        """When its next frame is due; None where that is beyond the calendar."""
        try:
            return Interval(TimeUnit(self.unit), self.step).next_after(now)
        except (ValueError, OverflowError):
            return None

    @property
    def gaps(self) -> bool:
        """Whether some frame of a line is missing."""
        return any(point.missing for series in self.series for point in series.points)

    @property
    def without_scope(self) -> bool:
        """Whether the plan is made and holds no repository."""
        return not self.loading and not self.times

    @property
    def incomplete(self) -> bool:
        """Whether some drawn point is known to be too low."""
        return any(not p.complete for s in self.series for p in s.drawn if not p.missing)

    @property
    def newest_incomplete(self) -> datetime | None:
        """The newest drawn point of which something is not known."""
        return max((p.time for s in self.series for p in s.drawn if not p.complete), default=None)


class Cell(msgspec.Struct, frozen=True):
    """One series in one repository at one frame. ``value`` None: no outcome yet, or failed for good.

    ``location`` is the folder of the clone, or the address of the repository where no clone is on this machine.
    ``reason`` is ``reason_code`` in words.
    """

    repository: str
    location: str
    commit: str
    value: int | None
    complete: bool
    reason: str = ""
    reason_code: str = ""


class RepositoryCells(msgspec.Struct, frozen=True):
    """One row of the breakdown: a repository at one frame, a cell per series (None: not planned there)."""

    repository: str
    commit: str
    cells: tuple[Cell | None, ...]


class Check(msgspec.Struct, frozen=True):
    """``command`` counts a cell again, exactly; ``how`` says where to run it, or what to do where no command can."""

    command: str = ""
    how: str = ""


class Repository(msgspec.Struct, frozen=True):
    """One row of the list of repositories. ``state``: ready, empty, waiting or failed.

    ``problem`` says in a few words what failed, ``error`` in the words of the worker; ``tip`` is a commit id.
    """

    id: str
    name: str
    state: str
    problem: str = ""
    error: str = ""
    tip: str = ""
    branch: str = ""
    url: str = ""
    shallow: bool = False
