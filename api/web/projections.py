"""Projections and their generations as the page of operations shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from api.web.templating import clock, day, number

_OPEN: Final = frozenset({"ORDERED", "FILLING", "VERIFYING"})
_BUTTONS: Final = {
    "ORDERED": ("pause", "cancel"),
    "FILLING": ("pause", "cancel"),
    "VERIFYING": ("pause", "cancel"),
    "PAUSED": ("resume", "cancel"),
    "FAILED": ("resume", "cancel"),
    "READY": ("cancel",),
}
_STATES: Final = {
    "ORDERED": "waits for a projector",
    "FILLING": "being filled",
    "VERIFYING": "being compared with the live one",
    "PAUSED": "paused",
    "READY": "filled, not swapped",
    "SWAPPED": "swapped in",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
}
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")


class Rebuild(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``ProjectionRebuild``."""

    id: str
    generation: int
    state: str
    reason: str = ""
    until: datetime | None = None
    until_position: str | None = None
    swap: bool = True
    events: float = 0
    of_all: float = 0
    events_per_second: float = 0
    eta_seconds: float | None = None
    size_bytes: float = 0
    different: float = 0
    differences: tuple[str, ...] = ()
    hold_ms: float | None = None
    swap_ms: float | None = None
    ordered_by: str = ""
    ordered_at: datetime
    updated_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether it moves by itself."""
        return self.state in _OPEN

    @property
    def shown(self) -> bool:
        """Whether somebody may have to do something about it, or wants to see it move."""
        return self.state not in ("SWAPPED", "CANCELLED")

    @property
    def percent(self) -> int:
        """Whole per cent, rounded down; 100 is the end."""
        return min(100, int(100 * self.events // self.of_all)) if self.of_all else 0

    @property
    def scratch(self) -> bool:
        """It shows the past."""
        return self.until is not None or self.until_position is not None

    @property
    def words(self) -> str:
        """Its state, in a few words."""
        if self.state == "READY" and self.scratch:
            return "filled: it shows the past"
        return _STATES.get(self.state, self.state.lower())

    @property
    def buttons(self) -> Sequence[str]:
        """What may be done with it now."""
        found = list(_BUTTONS.get(self.state, ()))
        if self.state == "READY" and self.scratch:
            return []  # it is dropped as a generation, with the name typed
        if not self.scratch and (self.state == "READY" or (self.state == "FAILED" and self.differences)):
            found.insert(0, "accept")
        return found


class Generation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``ProjectionGeneration``."""

    number: int
    version: int
    live: bool
    scratch: bool
    filling: bool
    kept: bool
    kept_current: bool
    rows: float
    rows_known: bool
    size_bytes: float
    created_at: datetime
    until: datetime | None = None
    until_position: str | None = None

    @property
    def words(self) -> str:
        """What it is for."""
        if self.live:
            return "live"
        if self.filling:
            return "being filled"
        if self.until is not None:
            return f"the past, until {moment(self.until)}"
        if self.until_position is not None:
            return f"the past, until {self.until_position}"
        if self.kept_current:
            return "kept current: the way back"
        return "to be kept current, by no projector that runs" if self.kept else "stands still"


class Projection(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``Projection`` of the schema."""

    name: str
    version: int
    topics: tuple[str, ...]
    live_generation: int | None
    outdated: bool
    generations: tuple[Generation, ...]
    rebuilds: tuple[Rebuild, ...]

    @property
    def rebuild(self) -> Rebuild | None:
        """The newest one, where there is still something to see of it."""
        newest = self.rebuilds[0] if self.rebuilds else None
        return newest if newest is not None and newest.shown else None

    @property
    def may_rebuild(self) -> bool:
        """Whether none is open."""
        return not any(one.is_open or one.state == "PAUSED" for one in self.rebuilds)

    @property
    def way_back(self) -> Generation | None:
        """Where a rollback leads."""
        return next((one for one in self.generations if one.kept_current and not one.live), None)

    @property
    def shows_past(self) -> Sequence[Generation]:
        """Those that a chart can be opened with."""
        return [one for one in self.generations if one.scratch and not one.filling]


class ProjectionsAnswer(msgspec.Struct, frozen=True):
    """``documents/projections.graphql``."""

    projections: tuple[Projection, ...]


class Diff(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``ProjectionDiff``."""

    same_vector: bool
    equal: bool
    rows: float
    different: float
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class DiffAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """``documents/projection_diff.graphql``."""

    projection_diff: Diff


def size(of_bytes: float) -> str:
    """``12 MiB``: one unit of 1024, rounded."""
    value, unit = of_bytes, _SIZES[0]
    for unit in _SIZES:
        if value < 1024 or unit == _SIZES[-1]:
            break
        value /= 1024
    return f"{number(int(value))} {unit}" if unit == "B" else f"{value:,.1f} {unit}"


def moment(time: datetime) -> str:
    """``1 Mar 2026, 00:00:00 UTC``."""
    return f"{day(time)}, {clock(time)} UTC"
