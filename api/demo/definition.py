"""What the demo's insight is: title, series, scope, and an interval whose frames span the history."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from api.demo.choices import Chosen
from api.demo.samples import NEW_API, OLD_API
from schemas.errors import MillstreamError
from schemas.grid import Interval, TimeUnit
from streams.search.query import PatternType, QueryError, parse, validate_for_insight

FRAMES: Final = 12
MONTHLY: Final = Interval(TimeUnit.MONTH)
_STEPS: Final = (
    *(Interval(TimeUnit.HOUR, value) for value in (1, 2, 3, 6, 12)),
    *(Interval(TimeUnit.DAY, value) for value in (1, 2, 3)),
    *(Interval(TimeUnit.WEEK, value) for value in (1, 2)),
    *(Interval(TimeUnit.MONTH, value) for value in (1, 2, 3, 4, 6)),
)


class QueryRefused(MillstreamError):
    """The query cannot be counted."""


@dataclass(frozen=True, slots=True)
class SeriesWish:
    """One line of the chart."""

    label: str
    query: str
    color: str


@dataclass(frozen=True, slots=True)
class InsightWish:
    """The insight to create, or to find again: the same key names the same insight."""

    title: str
    series: tuple[SeriesWish, ...]
    repositories: tuple[str, ...]
    interval: Interval
    idempotency_key: str

    def order(self, query: str) -> int:
        """Where the series with this query stands; after all others when there is none."""
        return next(
            (place for place, series in enumerate(self.series) if series.query == query), len(self.series)
        )


def spanning(oldest: datetime, now: datetime, frames: int = FRAMES) -> Interval:
    """The shortest interval whose newest ``frames`` grid instants reach back to ``oldest`` (or within one step of it)."""
    for interval in _STEPS:
        if _reaches(interval, oldest, now, frames):
            return interval
    years = 1
    while not _reaches(Interval(TimeUnit.YEAR, years), oldest, now, frames):
        years += 1
    return Interval(TimeUnit.YEAR, years)


def check_query(query: str) -> None:
    """Raises QueryRefused when this is no query that can be counted; an empty one stands for the default."""
    if not query:
        return
    try:
        validate_for_insight(parse(query, PatternType.LITERAL))
    except QueryError as error:
        raise QueryRefused(
            str(error),
            remedy=error.remedy or 'correct the query, or say content:"…" to look for such a text as it is',
        ) from error


def migration(repositories: Sequence[Chosen]) -> InsightWish:
    """The demo's own insight: an old API falls and its successor rises, month by month."""
    series = (
        SeriesWish(OLD_API.rstrip("."), OLD_API, "#c8501e"),
        SeriesWish(NEW_API.rstrip("."), NEW_API, "#0b6fae"),
    )
    return _wish("gateway replaces legacy_client", series, repositories, MONTHLY)


def of_own_code(repositories: Sequence[Chosen], query: str, now: datetime) -> InsightWish:
    """An insight over the reader's repositories; without a query, TODO and FIXME."""
    if query:
        series: tuple[SeriesWish, ...] = (SeriesWish(query, query, "#0b6fae"),)
    else:
        series = (SeriesWish("TODO", "TODO", "#c8501e"), SeriesWish("FIXME", "FIXME", "#0b6fae"))
    oldest = min(
        (repository.oldest for repository in repositories if repository.oldest is not None), default=now
    )
    subject = " and ".join(wish.label for wish in series)
    place = repositories[0].name if len(repositories) == 1 else f"{len(repositories)} repositories"
    return _wish(f"{subject} in {place}"[:500], series, repositories, spanning(oldest, now))


def _wish(
    title: str, series: tuple[SeriesWish, ...], repositories: Sequence[Chosen], interval: Interval
) -> InsightWish:
    """The key leaves the interval out, which grows with the history: a later run finds the same insight."""
    names = tuple(sorted(repository.name for repository in repositories))
    material = "\x1f".join((*(wish.query for wish in series), "", *names))
    key = "demo-" + hashlib.sha256(material.encode()).hexdigest()[:24]
    return InsightWish(title, series, names, interval, key)


def _reaches(interval: Interval, oldest: datetime, now: datetime, frames: int) -> bool:
    return interval.instant(interval.newest(frames, now).start - 1) <= oldest
