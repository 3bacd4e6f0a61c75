"""The evaluator (*hands*): searches what is new where the clone is, and says how each run ended.

Under the lease of the partition it first waits until all outcomes that are on the log are projected. So it knows what was
searched, by whomever; what has an outcome is passed over. It asks for the lease again before it says anything: a search
takes long, and a process that was paused has lost it. What is said twice all the same, since a broker took it late, moves
nothing: the first outcome of a run is the one that counts, for its row as for positions.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from infra.blobs import BlobStore
from infra.kafka.partitioner import partition_for
from projections.monitors.queries import definitions, positions
from projections.reading import Reader
from projections.repositories import queries as repositories
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import FiredRun, ResultsBlob, RunOutcome, TriggerDispatched, TriggerEvaluated
from schemas.ids import derived_event_id
from schemas.topics import Topic
from schemas.triggers.ids import trigger_job_id
from streams import faults
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.leases import Leases
from streams.monitors.doors import ACCESS_TOPICS, MaySee
from streams.monitors.evaluation import Decided, decided, ended, failed
from streams.monitors.firing import SOURCE, Firing, fired
from streams.monitors.results import written
from streams.monitors.runs import by_partition
from streams.projected import EndsOfTopics, Wait
from streams.repositories.clones import Clones
from streams.repositories.location import CloneRefused
from streams.search.engine import EngineError
from streams.search.history.engine import FoundNew, HistoryEngine
from streams.threads import Interrupt, on_thread

_TOPICS: Final = (Topic.MONITORS, Topic.TRIGGERS)
_AT_ONCE: Final = 2
_TIMEOUT_S: Final = 600.0
_log = structlog.get_logger()


class Work(msgspec.Struct, frozen=True):
    """One dispatched event: runs of one repository that began together."""

    cause: Event
    data: TriggerDispatched


class _Known(msgspec.Struct, frozen=True):
    """What was read before a look: monitors, what they searched, which runs are over."""

    name: str
    monitors: Mapping[int, definitions.Monitor]
    searched: Mapping[int, tuple[str, ...]]
    over: set[tuple[int, int]]
    visible: Mapping[str, bool]


class Office(msgspec.Struct, frozen=True):
    """What the evaluator stands on. ``partitions`` are those of the topic of triggers."""

    reader: Reader
    log_ends: EndsOfTopics
    blobs: BlobStore
    may_see: MaySee
    partitions: int


class Evaluator:
    """One per process; repositories of one partition are looked at under its lease."""

    def __init__(self, office: Office, clones: Clones, leases: Leases) -> None:
        self._office = office
        self._clones = clones
        self._leases = leases
        self._room = asyncio.Semaphore(_AT_ONCE)

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(
            name="monitors.evaluator",
            topics=(Topic.WORK_INTERACTIVE,),
            types=(TriggerDispatched,),
            handler=self.handle,
            max_batch=200,
            within_s=0.02,
        )

    async def handle(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Evaluate all of the batch: repositories side by side, each partition under its lease."""
        by_place: dict[int, dict[int, list[Work]]] = defaultdict(lambda: defaultdict(list))
        for received in batch:
            data = received.event.data
            if isinstance(data, TriggerDispatched):
                by_place[received.position.partition][data.repository_id].append(Work(received.event, data))
        async with asyncio.TaskGroup() as group:
            for partition, works in by_place.items():
                group.create_task(self._partition(partition, works, context))
        return ()

    async def _partition(self, partition: int, works: Mapping[int, list[Work]], context: Context) -> None:
        async with self._leases.partition(partition):
            wait = await Wait.on_receipt(
                self._office.reader, self._office.log_ends, (*_TOPICS, *ACCESS_TOPICS)
            )
            await wait.passed({"monitors": _TOPICS, "access": ACCESS_TOPICS})
            async with asyncio.TaskGroup() as group:
                for repository_id, together in works.items():
                    group.create_task(
                        self._repository(partition, repository_id, together, wait.vector, context)
                    )

    async def _repository(
        self,
        partition: int,
        repository_id: int,
        works: Sequence[Work],
        waited_for: list[str],
        context: Context,
    ) -> None:
        """One event after the other: what the first finds is searched for the second."""
        async with self._room:
            searched: dict[int, tuple[str, ...]] = {}
            over: set[tuple[int, int]] = set()
            for work in works:
                known = await asyncio.to_thread(self._known, repository_id, work.data)
                outcomes = await self._evaluate(work.data, known, searched, over)
                if not outcomes:
                    continue
                await self._leases.confirm(partition)
                if faults.moves_positions_first():
                    await self._say_positions_alone(work, outcomes, waited_for, context)
                faults.reached(faults.SEARCHED)
                await self._say(work, outcomes, waited_for, context)

    async def _say(
        self, work: Work, outcomes: Sequence[RunOutcome], waited_for: list[str], context: Context
    ) -> None:
        await context.publish(
            [
                Outgoing(_evaluated(work, together, waited_for, context))
                for together in self._together(outcomes)
            ]
        )

    async def _say_positions_alone(
        self, work: Work, outcomes: Sequence[RunOutcome], waited_for: list[str], context: Context
    ) -> None:
        """The bug of ``faults.POSITIONS_FIRST``: the tips without what was found, as a run of its own that has begun."""
        data = work.data
        alone = msgspec.structs.replace(data, moment=f"{data.moment}:positions")
        begun = Firing(
            repository_id=data.repository_id,
            location=data.location,
            moment=alone.moment,
            cause=data.cause,
            pushed_offset=data.pushed_offset,
            runs=data.runs,
        )
        await context.publish(fired(begun, self._partition_of, context.now(), work.cause))
        bare = [
            msgspec.structs.replace(one, results=[], result_count=0, match_count=0, blob=None, deliveries=[])
            for one in outcomes
        ]
        await self._say(msgspec.structs.replace(work, data=alone), bare, waited_for, context)

    def _partition_of(self, monitor_id: int) -> int:
        return partition_for(str(monitor_id), self._office.partitions)

    async def _evaluate(
        self,
        data: TriggerDispatched,
        known: _Known,
        searched: dict[int, tuple[str, ...]],
        over: set[tuple[int, int]],
    ) -> list[RunOutcome]:
        """``searched`` and ``over``: what this batch did already, before any projection shows it."""
        runs = []
        for run in data.runs:
            job = (run.monitor_id, trigger_job_id(run.monitor_id, data.repository_id, data.moment))
            if job not in known.over and job not in over:
                over.add(job)
                runs.append(run)
        if not runs:
            return []
        works = decided(runs, known.monitors, {**known.searched, **searched}, known.visible)
        try:
            folder = await self._clones.ready(data.repository_id, data.location.path, data.location.clone_url)
            outcomes = await asyncio.wait_for(
                on_thread(
                    lambda interrupt: self._search(
                        folder, data.location.default_branch, known.name, works, interrupt
                    )
                ),
                _TIMEOUT_S,
            )
        except CloneRefused as error:
            outcomes = [failed(one, error.reason, str(error)) for one in works]
        except EngineError as error:
            outcomes = [failed(one, "unreadable", str(error)) for one in works]
        except TimeoutError:
            message = f"the look at the repository did not end within {_TIMEOUT_S:g} s"
            outcomes = [failed(one, "timeout", message) for one in works]
        for outcome in outcomes:
            if outcome.tips is not None:
                searched[outcome.monitor_id] = tuple(outcome.tips)
        _log.info(
            "evaluated",
            repository=data.repository_id,
            moment=data.moment,
            runs=len(outcomes),
            results=sum(one.result_count for one in outcomes),
        )
        return outcomes

    def _search(
        self,
        folder: Path,
        branch: str | None,
        name: str,
        works: Sequence[Decided],
        interrupt: Interrupt,
    ) -> list[RunOutcome]:
        asking = [one for one in works if one.ask is not None]
        if not asking:
            return [failed(one, "", "") for one in works]
        if not folder.is_dir():
            raise EngineError(f"{folder} is no folder", remedy="Register the repository again.")
        engine = HistoryEngine(folder, branch, interrupt)
        answers = iter(engine.find([one.ask for one in asking if one.ask is not None]))
        found = [None if one.ask is None else next(answers) for one in works]
        return [
            failed(one, "", "") if answer is None else ended(one, answer, self._kept(name, answer))
            for one, answer in zip(works, found, strict=True)
        ]

    def _kept(self, name: str, found: FoundNew) -> ResultsBlob | None:
        if not found.matches:
            return None
        ref = self._office.blobs.put(written(name, found.matches))
        return ResultsBlob(uri=ref.uri, size_bytes=ref.size_bytes, sha256=ref.sha256)

    def _known(self, repository_id: int, data: TriggerDispatched) -> _Known:
        """Runs on a thread."""
        with self._office.reader.snapshot(("monitors", "repositories")) as snapshot:
            connection = snapshot.connection
            monitors = definitions.by_ids(connection, [run.monitor_id for run in data.runs])
            found = positions.searched(
                connection, [(run.monitor_id, run.begun) for run in data.runs], [repository_id]
            )
            over = positions.ended(connection, [_job(run, data) for run in data.runs])
            named = repositories.by_ids(connection, [repository_id])
        since = {run.monitor_id: run.since for run in data.runs}
        owners = {one.owner for one in monitors.values()}
        return _Known(
            name=named[repository_id].name if repository_id in named else str(repository_id),
            monitors=monitors,
            searched={
                monitor_id: one.oids
                for (monitor_id, _), one in found.items()
                if one.since == since[monitor_id]
            },
            over=over,
            visible={owner: self._office.may_see(owner, repository_id) for owner in owners},
        )

    def _together(self, outcomes: Sequence[RunOutcome]) -> list[Sequence[RunOutcome]]:
        """Empty outcomes of one partition share an event; each with results has its own."""
        empty = [one for one in outcomes if not one.result_count]
        shared = by_partition(
            empty,
            lambda one: one.monitor_id,
            self._partition_of,
        )
        return [*([one] for one in outcomes if one.result_count), *shared]


def _job(run: FiredRun, data: TriggerDispatched) -> tuple[int, int]:
    return run.monitor_id, trigger_job_id(run.monitor_id, data.repository_id, data.moment)


def _evaluated(work: Work, outcomes: Sequence[RunOutcome], waited_for: list[str], context: Context) -> Event:
    data = work.data
    named = ",".join(f"{one.monitor_id}@{one.begun}" for one in outcomes)
    return new_event(
        TriggerEvaluated(
            repository_id=data.repository_id,
            moment=data.moment,
            pushed_offset=data.pushed_offset,
            outcomes=list(outcomes),
            waited_for=waited_for,
        ),
        source=SOURCE,
        time=context.now(),
        event_id=derived_event_id("trigger.evaluated", data.repository_id, data.moment, named),
        cause=work.cause,
    )
