"""The sender: hands over what was asked for, and says what became of it (DESIGN section 6).

Under the leases of the batch's partitions it first waits until every request and outcome that is on the log is projected, and never
sends what has an outcome: what its predecessor has on the way when a partition moves is recorded before. It asks for the
lease again before each message: what waits its turn in a process that was paused is another's by then. So a repeat reaches a
receiver only when a sender died, or lost its lease, between sending and recording, or when the receiver took the message and its answer
did not come (a timeout, a connection that broke, a mail server lost after DATA); and then under the same delivery id.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec
import structlog

from infra.blobs import BlobRef, BlobStore
from projections.monitors.queries import definitions, history
from projections.monitors.queries.definitions import Action, Monitor
from projections.monitors.queries.history import Run, Sent
from projections.reading import Reader
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    ActionFailed,
    ActionKind,
    ActionRequested,
    ActionSucceeded,
    Delivery,
    MonitorActionDisabled,
    ObligationRenewed,
)
from schemas.ids import derived_event_id
from schemas.limits import shortened
from schemas.registry import Payload
from schemas.topics import Topic
from schemas.triggers.ids import action_job_id
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.leases import Leases
from streams.monitors.delivery.carrier import Carrier, Parcel
from streams.monitors.delivery.faults import refusal_of
from streams.monitors.delivery.message import Message
from streams.monitors.delivery.outcomes import Delivered, Outcome, Refused, next_attempt
from streams.monitors.doors import ACCESS_TOPICS, Doors
from streams.monitors.firing import SOURCE
from streams.monitors.places import Places
from streams.monitors.results import Result, read
from streams.obligations.names import Owing, renewed
from streams.projected import EndsOfTopics, Wait

_TOPICS: Final = (Topic.MONITORS, Topic.TRIGGERS)
_AT_ONCE: Final = 8
_PER_RECEIVER: Final = 4
_log = structlog.get_logger()


class SenderPolicy(msgspec.Struct, frozen=True):
    """``max_age_s``: what was found longer ago is not sent. ``external_url``: where people find the pages."""

    max_age_s: float
    external_url: str


class _Read(msgspec.Struct, frozen=True):
    """What is known when a batch has come."""

    sent: Mapping[tuple[int, int], Sent]
    runs: Mapping[tuple[int, int], Run]
    monitors: Mapping[int, Monitor]


class Sender:
    """One per process."""

    def __init__(
        self,
        reader: Reader,
        log_ends: EndsOfTopics,
        blobs: BlobStore,
        doors: Doors,
        carrier: Carrier,
        leases: Leases,
        policy: SenderPolicy,
    ) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self._blobs = blobs
        self._doors = doors
        self._carrier = carrier
        self._leases = leases
        self._policy = policy
        self._places = Places(_AT_ONCE, _PER_RECEIVER)

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(
            name="monitors.sender",
            topics=(Topic.TRIGGERS,),
            types=(ActionRequested, ObligationRenewed),
            handler=self.handle,
            max_batch=20,
            within_s=0.02,
        )

    async def handle(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Every outcome is published as it comes, and no delivery's fault ends another.

        A slow receiver holds half of the places, never all; the batch ends with its slowest delivery.
        """
        asked = [one for one in batch if _is_asked(one)]
        if not asked:
            return ()
        async with AsyncExitStack() as held:
            # In one order everywhere, so that two senders never wait for each other.
            for partition in sorted({one.position.partition for one in asked}):
                await held.enter_async_context(self._leases.partition(partition))
            await self._send_all(asked, context)
        return ()

    async def _send_all(self, asked: Sequence[Received], context: Context) -> None:
        wait = await Wait.on_receipt(self._reader, self._log_ends, (*_TOPICS, *ACCESS_TOPICS))
        await wait.passed({"monitors": _TOPICS, "access": ACCESS_TOPICS})
        again = await asyncio.to_thread(self._again, asked)
        requests = {(data.monitor_id, _job(data), data.attempt): (data, received) for received, data in again}
        known = await asyncio.to_thread(self._known, [data for data, _ in requests.values()])
        # All of them end, and are recorded, before an error of one counts: who ends early sends again what others have sent.
        ended = await asyncio.gather(
            *(self._one(data, received, known, context) for data, received in requests.values()),
            return_exceptions=True,
        )
        errors = [one for one in ended if isinstance(one, BaseException)]
        if errors:
            raise BaseExceptionGroup("deliveries without an outcome", errors)

    async def _one(self, data: ActionRequested, received: Received, known: _Read, context: Context) -> None:
        sent = known.sent.get((data.monitor_id, _job(data)))
        if sent is not None and (sent.is_over or (sent.failed_attempt or 0) >= data.attempt):
            return
        monitor = known.monitors.get(data.monitor_id)
        run = known.runs.get((data.monitor_id, data.job_id))
        action = None if monitor is None else _action(monitor, data.action_id)
        expires_at = data.since + timedelta(seconds=self._policy.max_age_s)
        refused = (
            self._too_old(expires_at, context.now())
            or _not_wanted(data, monitor, action)
            or _not_owed(data, run)
        )
        outcome: Outcome
        if refused is not None or monitor is None or run is None or action is None:
            outcome = refused or Refused("unknown", "there is no such run", is_final=True)
        else:
            # Mails have no host: all of them go to one mail server.
            async with self._places.at(action.host):
                parcel = partial(self._parcel, data, monitor, run, action, context.now())
                outcome = await self._send(data, parcel, received.position.partition)
        await context.publish(_said(data, action, outcome, received.event, context.now(), expires_at))
        level = _log.info if isinstance(outcome, Delivered) else _log.warning
        level(
            "action",
            monitor=data.monitor_id,
            delivery=data.delivery_id,
            attempt=data.attempt,
            outcome=outcome.message if isinstance(outcome, Delivered) else outcome.reason,
        )

    def _too_old(self, expires_at: datetime, now: datetime) -> Refused | None:
        if now <= expires_at:
            return None
        message = f"found more than {self._policy.max_age_s:g} s ago: it is not sent any more"
        return Refused("too-old", message, is_final=True)

    async def _send(self, data: ActionRequested, parcel: Callable[[], Parcel], partition: int) -> Outcome:
        """Raises SlotLost where the partition is another process's by now: nothing is sent, and nothing is to be said."""
        try:
            packed = await asyncio.to_thread(parcel)
            await self._leases.confirm(partition)
            return await self._carrier.carry(packed)
        except Exception as error:
            refused = refusal_of(error)
            if refused is None:
                raise
            _log.error("delivery_fault", delivery=data.delivery_id, reason=refused.reason, error=str(error))
            return refused

    def _parcel(
        self, data: ActionRequested, monitor: Monitor, run: Run, action: Action, now: datetime
    ) -> Parcel:
        """Runs on a thread. Contents go only to who may see the repository now: a webhook is as good as its owner."""
        reader = data.recipient or monitor.owner
        results: list[Result] | None = None
        if action.include_results and self._doors.may_see(reader, run.repository_id):
            results = self._results(run)
        return Parcel(
            message=Message(
                monitor_id=monitor.id,
                job_id=run.id,
                description=monitor.description,
                owner=monitor.owner,
                query=run.query,
                count=run.result_count,
                results=results,
                external_url=self._policy.external_url,
            ),
            action=action,
            recipient=data.recipient,
            delivery_id=data.delivery_id,
            at=now,
        )

    def _results(self, run: Run) -> list[Result]:
        if run.blob is None:
            return []
        ref = BlobRef(run.blob.uri, run.blob.size_bytes, run.blob.sha256)
        return read(self._blobs.read(ref))

    def _again(self, asked: Sequence[Received]) -> list[tuple[Received, ActionRequested]]:
        """The requests of the batch; of a renewal the one that it renews."""
        found = [(one, one.event.data) for one in asked if isinstance(one.event.data, ActionRequested)]
        renewals = {
            (owed.aggregate_id, int(owed.subject.partition(":")[0])): one
            for one in asked
            if (owed := renewed(one.event, Owing.ACTION_OUTCOME)) is not None
        }
        if not renewals:
            return found
        with self._reader.snapshot(("monitors",)) as snapshot:
            sent = history.sent_of(snapshot.connection, list(renewals))
        return found + [
            (renewals[key], request) for key, one in sent.items() if (request := _request(one)) is not None
        ]

    def _known(self, requests: Sequence[ActionRequested]) -> _Read:
        with self._reader.snapshot(("monitors",)) as snapshot:
            connection = snapshot.connection
            by_monitor: dict[int, set[int]] = defaultdict(set)
            for one in requests:
                by_monitor[one.monitor_id].add(one.job_id)
            return _Read(
                sent=history.sent_of(connection, [(one.monitor_id, _job(one)) for one in requests]),
                runs={
                    (run.monitor_id, run.id): run
                    for monitor_id, job_ids in by_monitor.items()
                    for run in history.runs_by_id(connection, monitor_id, job_ids)
                },
                monitors=definitions.by_ids(connection, list(by_monitor)),
            )


def _is_asked(one: Received) -> bool:
    is_request = isinstance(one.event.data, ActionRequested)
    return is_request or renewed(one.event, Owing.ACTION_OUTCOME) is not None


def _not_wanted(data: ActionRequested, monitor: Monitor | None, action: Action | None) -> Refused | None:
    """Why nobody is to hear of it any more, whatever was found."""
    if monitor is None or monitor.deleted_at is not None:
        return Refused("deleted", "the monitor was deleted", is_final=True)
    if action is None or not action.sends:
        return Refused("disabled", "the action was removed or disabled", is_final=True)
    if action.kind is ActionKind.EMAIL and data.recipient not in action.recipients:
        return Refused("recipient-removed", "the recipient was removed from the action", is_final=True)
    return None


def _not_owed(data: ActionRequested, run: Run | None) -> Refused | None:
    """Why there is nothing to tell: a late second outcome asks too, and the first one of a run is the one that counts."""
    if run is None:
        return Refused("pruned", "the run is not in the history any more", is_final=True)
    if Delivery(action_id=data.action_id, recipient=data.recipient) not in run.deliveries:
        return Refused(
            "not-owed", "the outcome that counts for this run asks for no such message", is_final=True
        )
    return None


def _job(data: ActionRequested) -> int:
    return action_job_id(data.job_id, data.action_id, data.recipient)


def _action(monitor: Monitor, action_id: int) -> Action | None:
    return next((one for one in monitor.actions if one.id == action_id), None)


def _request(one: Sent) -> ActionRequested | None:
    if one.repository_id is None or one.delivery_id is None or one.since is None:
        return None
    return ActionRequested(
        monitor_id=one.monitor_id,
        job_id=one.job_id,
        action_id=one.action_id,
        recipient=one.recipient,
        attempt=one.attempt or 1,
        repository_id=one.repository_id,
        delivery_id=one.delivery_id,
        since=one.since,
    )


def _said(
    data: ActionRequested,
    action: Action | None,
    outcome: Outcome,
    cause: Event,
    now: datetime,
    expires_at: datetime,
) -> list[Outgoing]:
    """The outcome's events, with ids that a second sender would give them too."""
    found: list[tuple[Payload, str]] = []
    if isinstance(outcome, Delivered):
        succeeded = ActionSucceeded(
            monitor_id=data.monitor_id,
            job_id=data.job_id,
            action_id=data.action_id,
            recipient=data.recipient,
            attempt=data.attempt,
            message=shortened(outcome.message),
        )
        found.append((succeeded, "action.succeeded"))
    else:
        due = next_attempt(data.attempt, outcome, now, expires_at)
        failed = ActionFailed(
            monitor_id=data.monitor_id,
            job_id=data.job_id,
            action_id=data.action_id,
            recipient=data.recipient,
            attempt=data.attempt,
            final=due is None,
            reason=outcome.reason,
            message=shortened(outcome.message),
            not_before=due,
        )
        found.append((failed, "action.failed"))
        if outcome.is_gone:
            disabled = MonitorActionDisabled(
                monitor_id=data.monitor_id,
                action_id=data.action_id,
                reason=outcome.reason,
                message="The receiver answered HTTP 410: it wants no more.",
                defined_offset=None if action is None else action.defined_offset,
            )
            found.append((disabled, "monitor.action_disabled"))
    return [
        Outgoing(
            new_event(
                payload,
                source=SOURCE,
                time=now,
                event_id=derived_event_id(kind, data.delivery_id, data.attempt),
                cause=cause,
            )
        )
        for payload, kind in found
    ]
