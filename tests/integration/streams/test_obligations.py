"""What is owed and does not come, on a real log and real projections: asked for again when lost, never when late."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HEADS_APP
from projections.generations import NotProjected
from projections.insights import queries as insights
from projections.obligations import queries as obligations
from projections.reading import Reader
from projections.recordings import queries as recordings
from schemas.envelope import Event, Position
from schemas.events import (
    BackfillPlanned,
    InsightCreated,
    ObligationFailed,
    ObligationRenewed,
    PlanCause,
    RecordingRequest,
    RecordingRequested,
    RepositoryRegistered,
    SearchCompleted,
)
from schemas.ids import aggregate_id
from schemas.topics import Topic
from streams import faults
from streams.agent import Outgoing
from streams.log_ends import TopicEnds
from streams.obligations.names import Owing
from streams.obligations.reconciler import Reconciler
from streams.obligations.registry import OBLIGATIONS
from streams.publishing import encoded
from tests.integration.streams.children import Child, Line, start_projector, start_worker
from tests.integration.streams.log import events_on
from tests.support.repositories import RepositoryBuilder
from tests.support.system import eventually
from tests.unit.streams.events import carried, definition, dispatched, event, request

DEADLINE_S = 0.5
WAIT_S = 60.0
QUICK = {
    one.name: msgspec.structs.replace(one, deadline_s=DEADLINE_S, look_s=0.0, attempts=3)
    for one in OBLIGATIONS
}


class Saying:
    """The context of a real process: what is published goes on the log."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.said: list[Event] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        self.said += [one.event for one in outgoing]
        return self._publisher.publish_all(encoded(outgoing))


class Passed:
    """A group that has passed everything: as one that acknowledged without work."""

    def group_offsets(self, group: str) -> dict[tuple[str, int], int]:
        return {(topic.value, partition): 1 << 40 for topic in Topic for partition in range(8)}


@pytest.fixture(scope="module")
def projector(settings: Settings) -> Iterator[Child]:
    with start_projector(settings) as found:
        yield found


@pytest.fixture(scope="module")
def reader(settings: Settings, projector: Child) -> Iterator[Reader]:
    engine = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    found = Reader(engine)

    def projected() -> bool:
        try:
            with found.snapshot():
                return True
        except NotProjected:
            return False

    eventually(projected, "the projector", timeout_s=WAIT_S)
    yield found
    found.close()
    engine.dispose()


def insight(key: str) -> Event:
    return event(
        InsightCreated(
            insight_id=aggregate_id("insight", "tests", key),
            title=key,
            creator="tests",
            created_at=datetime.now(UTC),
            series=[definition(f"needle of {key}")],
            frames=2,
        )
    )


def plan_of(created: Event) -> Event:
    """Of no repositories."""
    plan = BackfillPlanned(
        insight_id=int(created.key), cause=PlanCause.INSIGHT_CREATED, scopes=[], part=1, of=1
    )
    return event(plan)


def is_ready(lines: Sequence[Line]) -> bool:
    return any(line.get("action") == "ready" for line in lines)


def said_of(settings: Settings, admin: KafkaAdmin, created: Event) -> list[Event]:
    return [one for one in events_on(settings, admin, [Topic.INSIGHTS]) if one.key == created.key]


def planned(reader: Reader, created: Event) -> bool:
    with reader.snapshot(("insights",)) as snapshot:
        view = insights.view(snapshot.connection, int(created.key))
    return view is not None and view.planned


def look(reconcilers: Sequence[Reconciler], for_s: float) -> None:
    """Every reconciler ticks, in turn, until the time is over."""

    async def ticking() -> None:
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s:
            for one in reconcilers:
                await one.tick()
            await asyncio.sleep(0.05)

    asyncio.run(ticking())


def look_until(reconcilers: Sequence[Reconciler], condition: Callable[[], bool], what: str) -> None:
    def tick() -> bool:
        for one in reconcilers:
            asyncio.run(one.tick())
        return condition()

    eventually(tick, what, timeout_s=WAIT_S)


@contextmanager
def stopped(process: Child) -> Iterator[None]:
    """The process is paused in between."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def reconciler(
    reader: Reader,
    admin: KafkaAdmin,
    saying: Saying,
    groups: Passed | None = None,
    owing: Owing = Owing.INSIGHT_PLAN,
) -> Reconciler:
    return Reconciler([QUICK[owing]], reader, TopicEnds(admin), groups or admin, saying)


def test_an_insight_whose_event_was_dropped_is_planned_all_the_same(
    settings: Settings, publisher: Publisher, admin: KafkaAdmin, reader: Reader, tmp_path: Path
) -> None:
    created, marker = insight("dropped"), tmp_path / "marker"
    more = {faults.DROP_VARIABLE: "planner.insights", faults.MARKER_VARIABLE: str(marker)}
    with start_worker(settings, "heads", **more) as worker:
        worker.wait_for(is_ready, "the heads to be ready")
        [position] = publisher.publish([created])
        eventually(
            lambda: (
                admin.group_offsets(HEADS_APP).get((position.topic, position.partition), 0) > position.offset
            ),
            "the event to be acknowledged",
            timeout_s=WAIT_S,
        )
        assert f"{position}" in marker.read_text()
        assert not planned(reader, created)
        eventually(lambda: planned(reader, created), "the plan", timeout_s=WAIT_S)
    said = [one.data for one in said_of(settings, admin, created)]
    assert [type(one) for one in said if not isinstance(one, InsightCreated)] == [
        ObligationRenewed,
        BackfillPlanned,
    ]


def test_a_backlog_ten_times_the_deadline_causes_no_second_request(
    settings: Settings, publisher: Publisher, admin: KafkaAdmin, reader: Reader
) -> None:
    created = insight("backlog")
    saying = Saying(publisher)
    [position] = publisher.publish([created])
    assert reader.wait_for("insights", [position], WAIT_S)
    look([reconciler(reader, admin, saying)], 10 * DEADLINE_S)
    assert saying.said == [], "no worker runs: the event waits, nobody has lost it"
    with start_worker(settings, "heads"):
        eventually(lambda: planned(reader, created), "the plan", timeout_s=WAIT_S)
    look([reconciler(reader, admin, saying)], 3 * DEADLINE_S)
    assert saying.said == []
    plans = [one for one in said_of(settings, admin, created) if isinstance(one.data, BackfillPlanned)]
    assert len(plans) == 1


def test_a_paused_projection_causes_none(
    publisher: Publisher, admin: KafkaAdmin, reader: Reader, projector: Child
) -> None:
    created, saying = insight("paused"), Saying(publisher)
    mine = reconciler(reader, admin, saying, Passed())
    [position] = publisher.publish([created])
    assert reader.wait_for("insights", [position], WAIT_S)
    with stopped(projector):
        publisher.publish([plan_of(created)])
        look([mine], 10 * DEADLINE_S)
        assert saying.said == [], "the plan is on the log, the projection has not read it"
    eventually(lambda: planned(reader, created), "the plan", timeout_s=WAIT_S)
    look([mine], 3 * DEADLINE_S)
    assert saying.said == []


def test_what_was_lost_is_asked_for_once_by_two_leaders_and_given_up_in_words(
    publisher: Publisher, admin: KafkaAdmin, reader: Reader
) -> None:
    created, saying = insight("lost"), Saying(publisher)
    two = [reconciler(reader, admin, saying, Passed()) for _ in range(2)]
    [position] = publisher.publish([created])
    assert reader.wait_for("insights", [position], WAIT_S)

    def failed() -> list[obligations.Failure]:
        with reader.snapshot(("obligations",)) as snapshot:
            return obligations.failures(snapshot.connection, 10, [int(created.key)])

    look_until(two, lambda: bool(failed()), "obligation.failed")
    look([*two, reconciler(reader, admin, saying, Passed())], 3 * DEADLINE_S)
    mine = [one for one in saying.said if one.key == created.key]
    renewals = {one.id: one.data for one in mine if isinstance(one.data, ObligationRenewed)}
    assert sorted(data.attempt for data in renewals.values()) == [2, 3], "one event per attempt"
    assert len({one.id for one in mine if isinstance(one.data, ObligationFailed)}) == 1
    [failure] = failed()
    assert (failure.attempts, failure.reason) == (3, "no-outcome")
    assert failure.message == (
        f"The plan of insight {created.key} did not come: it was asked for 3 times, and each time 0.5 s passed "
        "after planner.insights had the request. See the worker's log, then create the insight again."
    )


def test_a_new_leader_counts_on(publisher: Publisher, admin: KafkaAdmin, reader: Reader) -> None:
    created, saying = insight("counted on"), Saying(publisher)
    [position] = publisher.publish([created])
    assert reader.wait_for("insights", [position], WAIT_S)

    def attempts() -> list[int]:
        return [
            one.data.attempt
            for one in saying.said
            if isinstance(one.data, ObligationRenewed) and one.key == created.key
        ]

    look_until([reconciler(reader, admin, saying, Passed())], lambda: attempts() == [2], "a renewal")
    look_until([reconciler(reader, admin, saying, Passed())], lambda: attempts() == [2, 3], "the next one")


def test_a_dispatched_request_that_was_lost_is_counted_once_by_renewal(
    settings: Settings,
    publisher: Publisher,
    admin: KafkaAdmin,
    reader: Reader,
    tmp_path: Path,
) -> None:
    path = RepositoryBuilder(tmp_path / "counted")
    path.commit(datetime.now(UTC) - timedelta(days=400), {"a.txt": "needle of a count\n"})
    registered = RepositoryRegistered(
        repository_id=1 << 30, name="tests.example/counted", path=str(path.build())
    )
    created, marker = insight("a count"), tmp_path / "marker"
    more = {faults.DROP_VARIABLE: "runner.background", faults.MARKER_VARIABLE: str(marker)}
    saying = Saying(publisher)
    mine = reconciler(reader, admin, saying, owing=Owing.RECORDING_COUNT)

    def progress() -> recordings.Progress:
        with reader.snapshot(("recordings",)) as snapshot:
            return recordings.progress(snapshot.connection, [int(created.key)])[int(created.key)]

    with start_worker(settings, **more):
        publisher.publish([event(registered), created])
        eventually(marker.exists, "the dispatched request to be dropped", timeout_s=WAIT_S)
        eventually(lambda: progress().processing, "the dispatch to be projected", timeout_s=WAIT_S)
        look_until([mine], lambda: progress().completed > 0 and not progress().pending, "the count")
    renewals = [one.data for one in saying.said if isinstance(one.data, ObligationRenewed)]
    assert {(one.obligation, one.attempt) for one in renewals} == {(Owing.RECORDING_COUNT, 2)}
    attempts = Counter(
        (one.data.request_id, one.data.attempt)
        for one in events_on(settings, admin, [Topic.RESULTS])
        if isinstance(one.data, SearchCompleted) and one.data.request_id in {one.subject for one in renewals}
    )
    assert attempts == Counter({(one.subject, 2): 1 for one in renewals}), "each counted once"


def test_a_paused_jobs_projection_causes_no_second_dispatch(
    publisher: Publisher, admin: KafkaAdmin, reader: Reader, projector: Child
) -> None:
    one, saying = request(1 << 31), Saying(publisher)
    mine = reconciler(reader, admin, saying, Passed(), Owing.RECORDING_COUNT)
    publisher.publish([event(RecordingRequested(request=one))])
    publisher.publish([event(carried([dispatched(one)]))], Topic.WORK_BACKGROUND)

    def open_jobs() -> list[str]:
        with reader.snapshot(("recordings",)) as snapshot:
            return [row[1] for row in recordings.dispatched(snapshot.connection, 10)]

    eventually(lambda: open_jobs() == [one.request_id], "the dispatch to be projected", timeout_s=WAIT_S)
    with stopped(projector):
        publisher.publish([event(outcome_of(one))])
        look([mine], 10 * DEADLINE_S)
        assert saying.said == [], "the outcome is on the log, the jobs projection has not read it"
    eventually(lambda: not open_jobs(), "the outcome to be projected", timeout_s=WAIT_S)
    look([mine], 3 * DEADLINE_S)
    assert saying.said == []


def outcome_of(one: RecordingRequest) -> SearchCompleted:
    """Of the first attempt, about no series."""
    return SearchCompleted(
        request_id=one.request_id,
        repository_id=one.repository_id,
        insight_id=one.insight_id,
        attempt=1,
        matcher_version=1,
        engine="git",
        series=[],
    )
