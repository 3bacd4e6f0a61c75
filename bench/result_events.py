"""Results to be replayed: ``search.completed`` events of many repositories, and the rows that they have to become."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from infra.kafka.partitioner import partition_for
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import CountingStatistics, SearchCompleted, SeriesResult
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, derived_event_id, repository_id, series_id

SOURCE: Final = "//millstream/queryrunner"
FIRST_INDEX: Final = 600
_REPOSITORIES: Final = 10_000
"""One series in each of these, then the next series: as the backfills of several insights lie on the log."""
_AT: Final = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is replayed.

    Args:
        name: of its figure.
        events: how many.
        points: cells of each, all of them counted and nonzero.
        partitions: on how many partitions of the topic they lie.
        mixed: every tenth event meets a key that is there already (in turns a later attempt at the same cells, and the
            next frames), every hundredth is one that was delivered before.
    """

    name: str
    events: int
    points: int
    partitions: int = 1
    mixed: bool = False


def events_of(load: Load, partitions: int) -> Iterator[Event]:
    """The events in the order in which they are published; ``partitions`` are those of the topic."""
    names = _repositories(load, partitions)
    said: list[tuple[int, int]] = []
    before: list[Event] = []
    fresh = 0
    for number in range(load.events):
        if load.mixed and number % 100 == 50:
            yield before[number * 7_919 % len(before)]
            continue
        if load.mixed and number % 10 == 5:
            series, repository = said[number * 7_919 % len(said)]
            again = number % 20 == 5
            event = _event(
                load, series, repository, number, attempt=2 if again else 1, shift=0 if again else load.points
            )
        else:
            series, repository = divmod(fresh, len(names))
            repository = names[repository]
            fresh += 1
            said.append((series, repository))
            event = _event(load, series, repository, number)
        if load.mixed:
            before.append(event)
        yield event


def _event(
    load: Load, series: int, repository: int, number: int, *, attempt: int = 1, shift: int = 0
) -> Event:
    identity = series_id(SeriesIdentity(query=f"bench {series}"))
    request = derived_event_id("bench", identity, repository, shift)
    indexes = list(range(FIRST_INDEX + shift, FIRST_INDEX + shift + load.points))
    commits = [
        hashlib.sha1(b"%d %d" % (repository, index), usedforsecurity=False).hexdigest() for index in indexes
    ]
    payload = SearchCompleted(
        request_id=request,
        repository_id=repository,
        insight_id=series + 1,
        attempt=attempt,
        matcher_version=1,
        engine="git",
        series=[
            SeriesResult(
                series_id=identity,
                unit=TimeUnit.MONTH,
                value=1,
                covered=[(indexes[0], indexes[-1] + 1)],
                indexes=indexes,
                values=[1 + (number * 31 + index * 17) % 5_000 for index in indexes],
                commit_refs=list(range(load.points)),
            )
        ],
        commits=commits,
        statistics=CountingStatistics(
            files=400 * load.points, blobs=500, size_bytes=3_000_000, duration_s=0.21, skipped={"binary": 3}
        ),
    )
    return new_event(
        payload,
        source=SOURCE,
        time=_AT + timedelta(milliseconds=number),
        event_id=derived_event_id("search.completed", repository, request, attempt),
        correlation_id=request,
    )


def _repositories(load: Load, partitions: int) -> Sequence[int]:
    """Ids that lie on the first ``load.partitions`` of the topic's partitions."""
    found: list[int] = []
    number = 0
    while len(found) < min(_REPOSITORIES, load.events):
        one = repository_id(f"bench.example/{number}")
        number += 1
        if partition_for(str(one), partitions) < load.partitions:
            found.append(one)
    return found
