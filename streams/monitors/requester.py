"""The requester: for an event of a monitor it asks for every delivery; for one that was refused, for the next attempt in its time."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from projections.monitors.queries import history
from projections.reading import Reader
from schemas.events import ActionRequested, ObligationRenewed, TriggerEvaluated
from schemas.topics import Topic
from schemas.triggers.ids import trigger_job_id
from streams.agent import AgentSpec, Context, Outgoing, Received, Timer
from streams.monitors.actions import requested, requests
from streams.obligations.names import Owing, renewed

_RETRY_LOOK_S: Final = 1.0
_RETRIES: Final = 500
_log = structlog.get_logger()


class Requester:
    """One per process; its timer runs in the leader."""

    def __init__(self, reader: Reader, context: Context) -> None:
        self._reader = reader
        self._context = context
        self._ticking = asyncio.Lock()

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(
            name="monitors.actions",
            topics=(Topic.TRIGGERS,),
            types=(TriggerEvaluated, ObligationRenewed),
            handler=self.evaluated,
            within_s=0.02,
        )

    @property
    def timer(self) -> Timer:
        return Timer(name="monitors.retries", interval_s=_RETRY_LOOK_S, tick=self.tick)

    async def evaluated(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Ask for the deliveries of every event in the batch."""
        found: list[Outgoing] = []
        for received in batch:
            data = received.event.data
            again = renewed(received.event, Owing.TRIGGER_ACTIONS)
            if isinstance(data, TriggerEvaluated):
                for outcome in data.outcomes:
                    found += requests(
                        outcome.monitor_id,
                        data.repository_id,
                        trigger_job_id(outcome.monitor_id, data.repository_id, data.moment),
                        outcome.deliveries,
                        received.appended_at,
                        now=context.now(),
                        cause=received.event,
                    )
            elif again is not None:
                found += await asyncio.to_thread(self._again, again, received, context)
        return found

    async def tick(self) -> None:
        """Ask for the attempts whose time has come."""
        if self._ticking.locked():
            return
        async with self._ticking:
            due = await asyncio.to_thread(self._due)
            if due:
                await self._context.publish(due)
                _log.info("actions_tried_again", count=len(due))

    def _due(self) -> list[Outgoing]:
        now = self._context.now()
        with self._reader.snapshot(("monitors",)) as snapshot:
            found = history.waiting(snapshot.connection, now, _RETRIES)
        return [
            requested(
                ActionRequested(
                    monitor_id=one.monitor_id,
                    job_id=one.job_id,
                    action_id=one.action_id,
                    recipient=one.recipient,
                    attempt=(one.failed_attempt or 0) + 1,
                    repository_id=one.repository_id,
                    delivery_id=one.delivery_id,
                    since=one.since,
                ),
                now=now,
                cause=None,
            )
            for one in found
            if one.repository_id is not None and one.delivery_id is not None and one.since is not None
        ]

    def _again(self, data: ObligationRenewed, received: Received, context: Context) -> list[Outgoing]:
        with self._reader.snapshot(("monitors",)) as snapshot:
            runs = history.runs_by_id(snapshot.connection, data.aggregate_id, [int(data.subject)])
        return [
            one
            for run in runs
            if run.found_at is not None
            for one in requests(
                run.monitor_id,
                run.repository_id,
                run.id,
                run.deliveries,
                run.found_at,
                now=context.now(),
                cause=received.event,
            )
        ]
