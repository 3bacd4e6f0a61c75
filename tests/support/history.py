"""An endless history made from a seed: guarded and unguarded events, legal and illegal, repeats, and what is no event."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    BackfillPaused,
    BackfillPlanned,
    BackfillResumed,
    InsightCreated,
    InsightDeleted,
    Lane,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    RecordingRequest,
    RecordingRequested,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RequestedSeries,
    SettingsChanged,
)
from schemas.grid import TimeUnit
from schemas.registry import Payload
from schemas.settings.known import CONCURRENCY, RATE_LIMIT
from schemas.topics import Topic
from tests.support.projecting import OTHER_SERIES, SERIES, completed, failed, result
from tests.unit.streams.events import definition

SOURCE: Final = "//tests/history"
REPOSITORIES: Final = range(1_000, 1_040)
INSIGHTS: Final = range(1, 20)
FIRST_INDEX: Final = 600
END_INDEX: Final = 640
_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_REPEATED: Final = 0.08
_WRONG_VERSION: Final = 0.05
_REMEMBERED: Final = 200


class Garbage(msgspec.Struct, frozen=True):
    """A record that is no event."""

    topic: Topic
    key: bytes
    value: bytes


Said = Event | Garbage


def history(seed: int) -> Iterator[Said]:
    """What is said, in order; the same for the same seed. A repeat is the very same event again."""
    chance = random.Random(seed)
    past: list[Event] = []
    number = 0
    while True:
        number += 1
        if past and chance.random() < _REPEATED:
            yield chance.choice(past[-_REMEMBERED:])
            continue
        if chance.random() < 0.01:
            topic = chance.choice([Topic.REPOSITORIES, Topic.RESULTS, Topic.INSIGHTS])
            yield Garbage(topic, b"%d" % number, b"{no event: %d" % number)
            continue
        made = _event(chance, number, seed)
        past.append(made)
        yield made


def _event(chance: random.Random, number: int, seed: int) -> Event:
    make = chance.choices([make for make, _ in _KINDS], [weight for _, weight in _KINDS])[0]
    made = new_event(
        make(chance, number),
        source=SOURCE,
        time=_BEGAN + timedelta(seconds=number),
        event_id=f"{seed}-{number}",
    )
    if made.type.guarded and chance.random() < _WRONG_VERSION:
        return msgspec.structs.replace(made, expected_version=chance.randrange(1_000, 2_000))
    return made


def _registered(chance: random.Random, number: int) -> Payload:
    repository = chance.choice(REPOSITORIES)
    return RepositoryRegistered(
        repository_id=repository, name=f"tests.example/r{repository}", path=f"/srv/{number}"
    )


def _renamed(chance: random.Random, number: int) -> Payload:
    return RepositoryRenamed(repository_id=chance.choice(REPOSITORIES), name=f"tests.example/n{number}")


def _removed(chance: random.Random, number: int) -> Payload:
    return RepositoryRemoved(repository_id=chance.choice(REPOSITORIES))


def _pushed(chance: random.Random, number: int) -> Payload:
    return RepositoryPushed(
        repository_id=chance.choice(REPOSITORIES), default_branch="main", tip=f"{number:040x}"
    )


def _created(chance: random.Random, number: int) -> Payload:
    return InsightCreated(
        insight_id=chance.choice(INSIGHTS),
        title=f"insight {number}",
        creator="tests",
        created_at=_BEGAN,
        series=[definition(f"word {number % 7}")],
    )


def _deleted(chance: random.Random, number: int) -> Payload:
    return InsightDeleted(insight_id=chance.choice(INSIGHTS))


def _controlled(chance: random.Random, number: int) -> Payload:
    insight = chance.choice(INSIGHTS)
    return BackfillPaused(insight_id=insight) if number % 2 else BackfillResumed(insight_id=insight)


def _planned(chance: random.Random, number: int) -> Payload:
    lines = [
        PlannedSeries(
            series_id=SERIES,
            unit=TimeUnit.MONTH,
            value=1,
            first_index=FIRST_INDEX,
            end_index=chance.randrange(FIRST_INDEX + 1, END_INDEX),
        )
    ]
    scope = PlannedScope(series=lines, repositories=[chance.choice(REPOSITORIES)])
    return BackfillPlanned(
        insight_id=chance.choice(INSIGHTS), cause=PlanCause.INSIGHT_CREATED, scopes=[scope], part=1, of=1
    )


def _settings(chance: random.Random, number: int) -> Payload:
    key = chance.choice([CONCURRENCY, RATE_LIMIT])
    return SettingsChanged(key=key, value=float(number), changed_by="tests")


def _requested(chance: random.Random, number: int) -> Payload:
    series = [
        RequestedSeries(
            series_id=SERIES, query="q0", unit=TimeUnit.MONTH, value=1, frames=[(FIRST_INDEX, END_INDEX)]
        )
    ]
    return RecordingRequested(
        request=RecordingRequest(
            request_id=f"r-{number}",
            repository_id=chance.choice(REPOSITORIES),
            insight_id=chance.choice(INSIGHTS),
            creator="tests",
            lane=Lane.BACKFILL,
            series=series,
        )
    )


def _outcome(chance: random.Random, number: int) -> Payload:
    first = chance.randrange(FIRST_INDEX, END_INDEX - 4)
    values = {first + step: chance.randrange(5) for step in range(4)}
    outcome = completed(
        result(values),
        result({}, incomplete={first: (chance.randrange(5), "timeout")}, series_id=OTHER_SERIES),
        repository_id=chance.choice(REPOSITORIES),
        attempt=chance.randrange(1, 6),
        request_id=f"r-{chance.randrange(1, number + 1)}",
    )
    return failed(outcome, "crashed") if chance.random() < 0.1 else outcome


_KINDS: Final[tuple[tuple[Callable[[random.Random, int], Payload], int], ...]] = (
    (_registered, 6),
    (_renamed, 8),
    (_removed, 3),
    (_pushed, 4),
    (_created, 3),
    (_deleted, 1),
    (_controlled, 4),
    (_planned, 3),
    (_settings, 3),
    (_requested, 20),
    (_outcome, 45),
)
