"""The planner of retries: asks again for what of an insight finally failed, was cancelled or never came (DESIGN section 6)."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog

from projections.reading import Reader
from projections.recordings import queries as recordings
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import BackfillRetried, ObligationRenewed, PlanCause, RecordingRequested
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.insights.knowledge import DEFINITIONS, RESULTS, Knowledge
from streams.insights.plan import Definition, plan_parts
from streams.insights.retrying import retried_plan_id, retried_requests
from streams.obligations.names import Owing, renewed
from streams.projected import EndsOfTopics, Wait

SOURCE: Final = "//millstream/planner"
_JOBS: Final = {"recordings": (Topic.INSIGHTS, Topic.RECORDINGS, Topic.RESULTS)}
_TOPICS: Final = (Topic.INSIGHTS, Topic.REPOSITORIES, Topic.RESULTS, Topic.RECORDINGS)
_CHUNK: Final = 5_000
_log = structlog.get_logger()


class RetryPlanner:
    """Reads what is planned and counted, publishes requests, then the plan that announces them."""

    def __init__(self, reader: Reader, log_ends: EndsOfTopics) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self._knowledge = Knowledge(reader)

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(
            name="planner.retries",
            topics=(Topic.INSIGHTS,),
            types=(BackfillRetried, ObligationRenewed),
            handler=self.retried,
            max_batch=50,
            within_s=0.02,
        )

    async def retried(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Plan each insight again whose retry was asked for, or whose new plan did not come."""
        if not _retries(batch):
            return ()
        wait = await Wait.on_receipt(self._reader, self._log_ends, _TOPICS)
        await wait.passed({**DEFINITIONS, **RESULTS, **_JOBS})
        retries = _retries(await asyncio.to_thread(self._knowledge.accepted, batch))
        defined = await asyncio.to_thread(self._knowledge.defined)
        definitions = {one.insight_id: one for one in defined.definitions}
        for (insight_id, retry_id), cause in retries.items():
            if insight_id not in definitions:
                continue  # deleted since: nothing of it is owed
            definition = definitions[insight_id]
            known = await asyncio.to_thread(
                self._knowledge.known, {one.series_id for one in definition.series}, None, defined.targets
            )
            busy = await asyncio.to_thread(self._busy, insight_id)
            requests = list(
                retried_requests(definition, known, retry_id, {one.id for one in defined.repositories}, busy)
            )
            for start in range(0, len(requests), _CHUNK):
                await context.publish(
                    [
                        Outgoing(
                            new_event(
                                RecordingRequested(request=request),
                                source=SOURCE,
                                time=context.now(),
                                event_id=request.request_id,
                                cause=cause,
                            )
                        )
                        for request in requests[start : start + _CHUNK]
                    ]
                )
            await context.publish([_plan(definition, retry_id, wait.vector, cause, context.now())])
            _log.info("retry_planned", insight=insight_id, requests=len(requests))
        return ()

    def _busy(self, insight_id: int) -> set[int]:
        with self._reader.snapshot(("recordings",)) as snapshot:
            return recordings.busy_repositories(snapshot.connection, insight_id)


def _retries(batch: Sequence[Received]) -> dict[tuple[int, str], Event]:
    """The event that asks, by (insight, id of the retry): a renewal names the same retry."""
    found: dict[tuple[int, str], Event] = {}
    for received in reversed(batch):
        if isinstance(received.event.data, BackfillRetried):
            found[received.event.data.insight_id, received.event.id] = received.event
        elif (again := renewed(received.event, Owing.BACKFILL_RETRY)) is not None:
            found[again.aggregate_id, again.subject] = received.event
    return found


def _plan(
    definition: Definition, retry_id: str, waited_for: Sequence[str], cause: Event, now: datetime
) -> Outgoing:
    """It adds no cell: what is asked for again was planned before. It says that all of it was asked for."""
    (part,) = plan_parts(definition.insight_id, (), PlanCause.BACKFILL_RETRIED, waited_for)
    event_id = retried_plan_id(definition.insight_id, retry_id)
    event = new_event(part, source=SOURCE, time=now, event_id=event_id, cause=cause)
    # A renewal is another event than the retry, and it is the retry that this answers.
    return Outgoing(msgspec.structs.replace(event, causation_id=retry_id))
