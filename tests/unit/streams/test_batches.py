"""One micro-batch: what reaches the handler, what is retried, what is let through."""

import asyncio
from collections.abc import Sequence

import msgspec
import psycopg
import pytest

from schemas.envelope import Position, Record
from schemas.errors import NeedsUpgrade
from schemas.events import InsightCreated, RepositoryRegistered
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received, Transient
from streams.batches import FIRST_BACKOFF_S, BatchContext, Counters, run_batch
from streams.transient import is_transient
from tests.unit.streams.events import event, record, registered


class Handler:
    """Remembers its batches; fails as often as told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.batches: list[list[int]] = []

    async def __call__(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        self.batches.append([one.position.offset for one in batch])
        if self.errors:
            raise self.errors.pop(0)
        return [Outgoing(event(registered(99)))]


def run(handler: Handler, records: Sequence[Record]) -> tuple[list[Outgoing], Counters, list[float]]:
    published: list[Outgoing] = []
    pauses: list[float] = []
    counters = Counters()

    async def publish(outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        published.extend(outgoing)
        return []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    spec = AgentSpec(
        name="test", topics=(Topic.REPOSITORIES,), types=(RepositoryRegistered,), handler=handler
    )
    asyncio.run(
        run_batch(spec, records, BatchContext(publish), counters, is_transient=is_transient, sleep=sleep)
    )
    return published, counters, pauses


def test_what_is_no_event_is_counted_and_passed_over() -> None:
    good = [record(registered(number), Topic.REPOSITORIES, offset=number) for number in range(2)]
    bad = msgspec.structs.replace(good[0], value=b"{", offset=7)
    tombstone = msgspec.structs.replace(good[0], value=None, offset=8)
    headers = tuple(
        (name, b"millstream.new.thing" if name == "ce_type" else value) for name, value in good[0].headers
    )
    unknown = msgspec.structs.replace(good[0], headers=headers, offset=9)
    handler = Handler()
    published, counters, _ = run(handler, [good[0], bad, tombstone, unknown, good[1]])
    assert handler.batches == [[0, 1]]
    assert len(published) == 1
    assert (counters.handled, counters.undecodable, counters.unknown_type) == (2, 2, 1)


def test_other_types_on_the_topic_never_reach_the_handler() -> None:
    other = AgentSpec(name="o", topics=(Topic.REPOSITORIES,), types=(InsightCreated,), handler=Handler())
    handler = Handler()
    asyncio.run(
        run_batch(
            msgspec.structs.replace(other, handler=handler),
            [record(registered(1), Topic.REPOSITORIES)],
            BatchContext(lambda outgoing: asyncio.sleep(0, [])),
            Counters(),
            is_transient=is_transient,
        )
    )
    assert handler.batches == []


def test_a_version_that_cannot_be_read_stops_the_agent() -> None:
    good = record(registered(1), Topic.REPOSITORIES)
    headers = tuple(
        (name, value.replace(b"/v1", b"/v9") if name == "ce_dataschema" else value)
        for name, value in good.headers
    )
    with pytest.raises(NeedsUpgrade, match="v9"):
        run(Handler(), [msgspec.structs.replace(good, headers=headers)])


def test_transient_errors_are_retried_in_place_with_growing_pauses() -> None:
    handler = Handler(
        Transient("later"),
        psycopg.OperationalError("gone"),
        ExceptionGroup("two", [Transient("a"), TimeoutError()]),
    )
    published, counters, pauses = run(handler, [record(registered(1), Topic.REPOSITORIES)])
    assert handler.batches == [[0]] * 4
    assert pauses == [FIRST_BACKOFF_S, 2 * FIRST_BACKOFF_S, 4 * FIRST_BACKOFF_S]
    assert counters.retries == 3
    assert len(published) == 1


@pytest.mark.parametrize(
    "error", [ValueError("bug"), ExceptionGroup("mixed", [Transient("a"), KeyError("bug")])]
)
def test_a_bug_is_raised_and_nothing_is_published(error: Exception) -> None:
    handler = Handler(error)
    with pytest.raises((ValueError, ExceptionGroup)):
        run(handler, [record(registered(1), Topic.REPOSITORIES)])
    assert handler.batches == [[0]]
