"""A log of everything that can happen, also what should not: by partition, with append times over six weeks."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from itertools import zip_longest
from typing import Final

from infra.kafka.admin import Watermarks
from infra.kafka.producer import Outgoing
from schemas.codec import encode, new_event
from schemas.envelope import Headers, Record
from schemas.events import (
    AggregatePlace,
    BackfillCancelled,
    BackfillMoved,
    BackfillPaused,
    BackfillPlanned,
    BackfillResumed,
    BackfillRetried,
    DispatchedRequest,
    DropOrdered,
    InsightCreated,
    InsightDeleted,
    Lane,
    ObligationFailed,
    ObligationRenewed,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    QueueEnd,
    RecordingDispatched,
    RecordingRequest,
    RecordingRequested,
    RecordPlace,
    RedriveOrdered,
    RepositoryCloneFailed,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
    RequestedSeries,
    SeriesDefinition,
    SettingsChanged,
    SnapshotCount,
)
from schemas.grid import TimeUnit
from schemas.registry import Payload
from schemas.settings.known import SETTINGS
from schemas.topics import KEYED_BY_REPOSITORY, Topic
from tests.support.account_history import accounts, permissions
from tests.support.graph_events import steps_of
from tests.support.monitor_histories import companion, say_of_monitor, say_of_runs
from tests.support.old_results import of_old
from tests.support.projecting import OTHER_SERIES, SERIES, T0, completed, failed, result
from tests.support.upload_histories import say_uploads

Partition = tuple[str, int]
Log = Mapping[Partition, list[Record]]

PARTITIONS: Final = 3
_FIRST_INDEX: Final = 600
_FRAMES: Final = 9
_GRAPHS: Final = 4
"""Repositories of which commits and uploads are told."""
_T0_MS: Final = int(T0.timestamp() * 1000)
_HOUR_MS: Final = 3_600_000
_GAPS_MS: Final = (0, 1_000, _HOUR_MS, 30 * _HOUR_MS)


class History:
    """Writes the log, one record at the end of one partition at a time."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._clocks: dict[Partition, int] = {}
        self.log: dict[Partition, list[Record]] = {}
        self.said = 0
        for topic in Topic:
            for number in range(partitions_of(topic)):
                self.log[topic.value, number] = []

    def say(
        self,
        topic: Topic,
        place: int,
        payload: Payload,
        *,
        event_id: str | None = None,
        expected_version: int | None = None,
    ) -> None:
        """An event about ``place``, whose partition follows from it."""
        self.said += 1
        said = new_event(
            payload,
            source="//test",
            time=T0 + timedelta(seconds=self.said),
            event_id=event_id or f"e-{self.said}",
            expected_version=expected_version,
        )
        self.raw(topic, place, *encode(said))

    def raw(self, topic: Topic, place: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Any record at all."""
        partition = (topic.value, place % partitions_of(topic))
        clock_ms = self._clocks.get(partition, _T0_MS) + self._random.choice(_GAPS_MS)
        self._clocks[partition] = clock_ms
        back_ms = self._random.choice((0, 0, 0, 2_000))  # a broker's clock steps back now and then
        records = self.log[partition]
        records.append(Record(*partition, len(records), clock_ms - back_ms, key, value, headers))

    def again(self, topic: Topic, place: int) -> None:
        """Some earlier record of the partition once more, byte for byte: with the same source and id."""
        records = self.log[topic.value, place % partitions_of(topic)]
        if records:
            one = self._random.choice(records)
            self.raw(topic, place, one.key, one.value, one.headers)


def partitions_of(topic: Topic) -> int:
    """Of the topics of these histories."""
    return PARTITIONS if topic in KEYED_BY_REPOSITORY or topic is Topic.TRIGGERS else 1


def ends(log: Log) -> dict[Partition, int]:
    """Next offsets behind the last records."""
    return {partition: len(records) for partition, records in log.items()}


def outgoing(log: Log) -> list[Outgoing]:
    """The records for a real log, partitions taking turns; there the keys decide where each one goes."""
    turns = zip_longest(*log.values())
    return [(one.topic, one.key, one.value, one.headers) for turn in turns for one in turn if one is not None]


def watermarks(log: Log, topic: str) -> dict[int, Watermarks]:
    """Start and end of every partition of ``topic``."""
    return {number: Watermarks(0, len(records)) for (name, number), records in log.items() if name == topic}


def history(seed: int, *, repositories: int = 5, rounds: int = 6) -> Log:
    """Legal, illegal, repeated, undecodable, unknown, old, late and contradictory records, in an order that follows from ``seed``."""
    random_ = random.Random(seed)
    log = History(random_)
    steps: list[Callable[[], None]] = [
        lambda: _insight(log, random_, random_.randrange(1, 4)),
        lambda: _setting(log, random_),
        lambda: _foreign(log, random_),
        partial(_account, log, random_),
        *(partial(say_of_monitor, log, random_, number) for number in (1, 2, companion(1))),
        *(partial(say_of_runs, log, random_, number) for number in (1, 2, 3, 1, 2)),
    ]
    for number in range(1, repositories + 1):
        steps += [
            partial(_repository, log, random_, number),
            partial(_recording, log, random_, number),
            partial(_recording, log, random_, number),
        ]
    for number in range(repositories + 1, repositories + _GRAPHS + 1):
        steps.append(steps_of(random_, number, rounds, log.say, log.again))
    for _ in range(rounds):
        random_.shuffle(steps)
        for step in steps:
            step()
    # What came later to the log stands behind the rest, so that the rest stays what it was for every seed.
    say_uploads(log, random_, repositories=repositories, rounds=rounds)
    return log.log


def _repository(log: History, random_: random.Random, number: int) -> None:
    """Any of what may be said of a repository, whether it is legal now or not."""
    name = f"local/r{number}-{random_.randrange(100)}"
    choices: list[Payload] = [
        RepositoryRegistered(repository_id=number, name=name, path="/p"),
        RepositoryRegistered(repository_id=number, name=name, path="/q", archived=True),
        RepositoryRenamed(repository_id=number, name=name),
        RepositoryUpdated(repository_id=number, fork=random_.random() < 0.5),
        RepositoryRemoved(repository_id=number),
        RepositoryPushed(
            repository_id=number,
            default_branch="main",
            tip=f"{random_.randrange(16**6):040x}",
            refs_fingerprint="f",
        ),
        RepositoryCloneFailed(repository_id=number, reason="gone", message="no such folder"),
        _renewed("repository.plan", number, random_),
        _given_up("repository.plan", number),
    ]
    for _ in range(2):
        expected = random_.choice((None, None, None, 0, 1, 2, 3))
        log.say(Topic.REPOSITORIES, number, random_.choice(choices), expected_version=expected)
    if random_.random() < 0.4:
        log.again(Topic.REPOSITORIES, number)
    log.say(Topic.REPOSITORIES, number, permissions(number, random_))
    log.again(Topic.REPOSITORIES, number)


def _account(log: History, random_: random.Random) -> None:
    for one in accounts(random_):
        log.say(Topic.ACCOUNTS, 0, one, expected_version=random_.choice((None, None, None, 0, 1)))
    log.again(Topic.ACCOUNTS, 0)


def _insight(log: History, random_: random.Random, number: int) -> None:
    series = [
        SeriesDefinition(series_id=one, label=f"l{n}", query=f"q{n}", unit=TimeUnit.MONTH, value=1)
        for n, one in enumerate((SERIES, OTHER_SERIES))
    ]
    created = InsightCreated(
        insight_id=number, title=f"t{random_.randrange(9)}", creator="c", created_at=T0, series=series
    )
    planned = BackfillPlanned(
        insight_id=number,
        cause=random_.choice(list(PlanCause)),
        scopes=[
            PlannedScope(
                series=[
                    PlannedSeries(
                        series_id=one.series_id,
                        unit=TimeUnit.MONTH,
                        value=1,
                        first_index=_FIRST_INDEX,
                        end_index=_FIRST_INDEX + _FRAMES,
                    )
                    for one in series
                ],
                repositories=random_.sample(range(1, 6), 3),
            )
        ],
        part=1,
        of=1,
    )
    choices: list[Payload] = [
        created,
        created,
        planned,
        BackfillPaused(insight_id=number),
        BackfillResumed(insight_id=number),
        BackfillCancelled(insight_id=number),
        BackfillRetried(insight_id=number),
        BackfillMoved(insight_id=number, to=random_.choice(list(QueueEnd))),
        _renewed("insight.plan", number, random_),
        _given_up("insight.plan", number),
    ]
    for _ in range(5):
        expected = random_.choice((None, None, None, 0, 1, 2))
        log.say(Topic.INSIGHTS, number, random_.choice(choices), expected_version=expected)
    if random_.random() < 0.15:
        log.say(Topic.INSIGHTS, number, InsightDeleted(insight_id=number))
    for _ in range(3):
        log.again(Topic.INSIGHTS, number)


def _recording(log: History, random_: random.Random, number: int) -> None:
    """A request, its dispatches and what came of each attempt: late, repeated, of two matchers, in any order."""
    request_id = f"r-{number}-{random_.randrange(6)}"
    first = _FIRST_INDEX + random_.randrange(_FRAMES - 2)
    request = RecordingRequest(
        request_id=request_id,
        repository_id=number,
        insight_id=random_.randrange(1, 4),
        creator="c",
        lane=random_.choice((Lane.BACKFILL, Lane.SCHEDULED)),
        series=[
            RequestedSeries(
                series_id=SERIES, query="q0", unit=TimeUnit.MONTH, value=1, frames=[(first, first + 2)]
            )
        ],
    )
    log.say(Topic.RECORDINGS, number, RecordingRequested(request=request), event_id=request_id)
    for attempt in range(1, random_.randrange(2, 4)):
        work = random_.choice((Topic.WORK_BACKGROUND, Topic.WORK_INTERACTIVE))
        dispatched = RecordingDispatched(
            requests=[DispatchedRequest(request=request, attempt=attempt)], deadline=T0
        )
        log.say(work, number, dispatched)
        outcome = completed(
            result(
                {first: random_.randrange(3), first + 1: random_.randrange(3)},
                snapshot=SnapshotCount(value=random_.randrange(50)),
            ),
            random_.choice(
                (
                    result(
                        {},
                        series_id=OTHER_SERIES,
                        captures=[(first, f"v{random_.randrange(2)}", 1 + random_.randrange(5))],
                    ),
                    result(
                        {first: 1},
                        series_id=OTHER_SERIES,
                        incomplete={first + 1: (random_.randrange(4), "timeout")},
                    ),
                )
            ),
            repository_id=number,
            attempt=random_.choice((attempt, attempt, 1)),
            matcher=random_.choice((1, 1, 2)),
            request_id=request_id,
            insight_id=request.insight_id,
            pushed_offset=random_.randrange(8),
        )
        kind = random_.random()
        if kind < 0.2:
            log.say(
                Topic.RESULTS, number, failed(outcome, "crashed", final=random_.random() < 0.5), event_id=None
            )
        elif kind < 0.35:
            log.say(Topic.RESULTS, number, of_old(number, request_id, first, random_))
        else:
            log.say(Topic.RESULTS, number, outcome)
        if random_.random() < 0.3:
            log.again(Topic.RESULTS, number)
    if random_.random() < 0.2:
        log.say(Topic.RECORDINGS, number, _renewed("recording.count", number, random_, request_id))


def _setting(log: History, random_: random.Random) -> None:
    setting = random_.choice(SETTINGS)
    value = random_.choice((None, setting.least, setting.most))
    log.say(Topic.SETTINGS, 0, SettingsChanged(key=setting.key, value=value, changed_by="c"))
    log.again(Topic.SETTINGS, 0)
    _order(log, random_)


def _order(log: History, random_: random.Random) -> None:
    """Of a projection that is not there: what orders do to one is tested where it is redriven."""
    topic, at = Topic.RESULTS.value, random_.randrange(100)
    place = AggregatePlace(topic=topic, partition=0, aggregate=str(at))
    log.say(Topic.OPERATIONS, 0, RedriveOrdered(projection="elsewhere", aggregates=[place], ordered_by="c"))
    record = RecordPlace(topic=topic, partition=0, offset=at)
    dropped = DropOrdered(projection="elsewhere", records=[record], reason="broken", ordered_by="c")
    log.say(Topic.OPERATIONS, 0, dropped)
    log.again(Topic.OPERATIONS, 0)


def _foreign(log: History, random_: random.Random) -> None:
    """Records that are no events, and events of types that nobody knows."""
    place = random_.randrange(PARTITIONS)
    for topic in Topic:
        bad: list[tuple[bytes | None, bytes | None, Headers]] = [
            (b"%d" % place, b"{", (("ce_id", b"bad"),)),
            (None, None, ()),
            (b"\xff", b"\x00\xff", (("ce_id", b"\xff"), ("ce_type", b"x"))),
            (
                b"1",
                b"{}",
                (
                    ("ce_specversion", b"1.0"),
                    ("ce_id", b"u"),
                    ("ce_source", b"//far"),
                    ("ce_type", b"org.example.x"),
                ),
            ),
            (
                b"1",
                b'{"specversion":"1.0","id":"s","source":"//far","type":"org.example.y","data":1}',
                (("content-type", b"application/cloudevents+json"),),
            ),
        ]
        log.raw(topic, place, *random_.choice(bad))


def _renewed(name: str, number: int, random_: random.Random, subject: str = "s") -> ObligationRenewed:
    return ObligationRenewed(
        obligation=name, aggregate_id=number, subject=subject, attempt=random_.randrange(2, 5)
    )


def _given_up(name: str, number: int) -> ObligationFailed:
    return ObligationFailed(
        obligation=name,
        aggregate_id=number,
        subject="s",
        attempts=3,
        reason="no-outcome",
        message="nothing came",
    )
