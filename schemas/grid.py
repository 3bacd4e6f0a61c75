"""The UTC grid on which frames lie (DESIGN section 7, Frames).

A grid instant has an integer index, counted from 1970, so that coverage is a set of integers:
hours and days from 1970-01-01T00:00Z, weeks from Monday 1970-01-05, months from 1970-01, years from 1970.
With a value of n only every n-th instant counts, and indexes count those.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_FIXED = {
    "HOUR": (_EPOCH, timedelta(hours=1)),
    "DAY": (_EPOCH, timedelta(days=1)),
    "WEEK": (_FIRST_MONDAY, timedelta(weeks=1)),
}


class TimeUnit(StrEnum):
    """Units of an interval, as in the public GraphQL schema."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


class Interval(msgspec.Struct, frozen=True):
    """Every ``value``-th ``unit``, counted from 1970. ``value`` is at least 1."""

    unit: TimeUnit
    value: int = 1

    def index_at(self, instant: datetime) -> int:
        """Index of the newest grid instant that is not after ``instant`` (an aware datetime)."""
        return self._units_at(instant.astimezone(UTC)) // self.value

    def instant(self, index: int) -> datetime:
        """The grid instant with this index, in UTC."""
        units = index * self.value
        if self.unit in _FIXED:
            origin, step = _FIXED[self.unit]
            return origin + units * step
        if self.unit is TimeUnit.YEAR:
            return datetime(1970 + units, 1, 1, tzinfo=UTC)
        years, month0 = divmod(units, 12)
        return datetime(1970 + years, month0 + 1, 1, tzinfo=UTC)

    def newest(self, count: int, created_at: datetime) -> range:
        """Indexes of the ``count`` newest grid instants not after ``created_at``, ascending.

        Fewer where the grid does not reach back that far: it begins in 1970, before which no commit was made;
        none (``range(0, 0)``) for an earlier ``created_at``.
        """
        last = self.index_at(created_at)
        return range(max(0, last - count + 1), max(0, last + 1))

    def next_after(self, instant: datetime) -> datetime:
        """The first grid instant after ``instant``: when the next recording is due."""
        return self.instant(self.index_at(instant) + 1)

    def _units_at(self, instant: datetime) -> int:
        if self.unit in _FIXED:
            origin, step = _FIXED[self.unit]
            return (instant - origin) // step
        if self.unit is TimeUnit.YEAR:
            return instant.year - 1970
        return (instant.year - 1970) * 12 + instant.month - 1
