"""The firer: a push begins the runs of the monitors that match; so does somebody who asks, and a monitor that names revisions."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import structlog

from infra.kafka.partitioner import partition_for
from projections.reading import Reader
from schemas.envelope import Event
from schemas.events import (
    FiredRun,
    FiringCause,
    MonitorCreated,
    MonitorRunRequested,
    MonitorToggled,
    MonitorUpdated,
    RepositoryPushed,
)
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.monitors.firing import Firing, dispatched, fired
from streams.monitors.knowledge import FIRING, FIRING_TOPICS, Knowledge, Looked, Match
from streams.monitors.passed import Groups, passed_by_firer
from streams.monitors.runs import Move, Watcher, catching_up, parsed, run_of
from streams.projected import EndsOfTopics, Wait

_log = structlog.get_logger()
_PER_PUBLISH: Final = 200


class Firer:
    """One per process. ``partitions`` are those of the topics of triggers."""

    def __init__(self, reader: Reader, log_ends: EndsOfTopics, groups: Groups, partitions: int) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self._groups = groups
        self._partitions = partitions
        self._knowledge = Knowledge(reader)

    @property
    def specs(self) -> tuple[AgentSpec, ...]:
        return (
            AgentSpec(
                name="monitors.pushes",
                topics=(Topic.REPOSITORIES,),
                types=(RepositoryPushed,),
                handler=self.pushed,
                within_s=0.02,
            ),
            AgentSpec(
                name="monitors.asked",
                topics=(Topic.MONITORS,),
                types=(MonitorCreated, MonitorUpdated, MonitorToggled, MonitorRunRequested),
                handler=self.asked,
                max_batch=50,
                within_s=0.02,
            ),
        )

    async def pushed(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Begin the runs of each push, in the order of the log. Where they fail, the clock begins one later that covers all."""
        wait = await Wait.on_receipt(self._reader, self._log_ends, FIRING_TOPICS)
        await wait.passed(FIRING)
        pushes = [
            (received, received.event.data)
            for received in batch
            if isinstance(received.event.data, RepositoryPushed)
        ]
        pushed = {data.repository_id for _, data in pushes}
        looked = await asyncio.to_thread(self._knowledge.looked, pushed)
        resting = await asyncio.to_thread(self._knowledge.resting, looked.watchers, pushed, context.now())
        firings = [
            (firing, received.event)
            for received, data in pushes
            if (firing := _of_push(looked, resting, received, data)) is not None
        ]
        await self.publish(firings, context)
        return ()

    async def asked(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Begin what somebody asked for, and read the present of revisions that no push tells."""
        wait = await Wait.on_receipt(self._reader, self._log_ends, FIRING_TOPICS)
        await wait.passed(FIRING)
        accepted = await asyncio.to_thread(self._knowledge.accepted, [one.position for one in batch])
        asking = [one for one in batch if one.position in accepted]
        if not asking:
            return ()
        looked = await asyncio.to_thread(self._knowledge.looked)
        firings: list[tuple[Firing, Event]] = []
        for received in asking:
            data = received.event.data
            if not isinstance(data, MonitorRunRequested | MonitorCreated | MonitorUpdated | MonitorToggled):
                continue
            watcher = next((one for one in looked.watchers if one.id == data.monitor_id), None)
            if watcher is None:
                continue
            found = (
                await asyncio.to_thread(self._wanted, looked, watcher, received)
                if isinstance(data, MonitorRunRequested)
                else _beginning(looked, watcher)
            )
            firings += [(one, received.event) for one in found]
        await self.publish(firings, context)
        return ()

    async def publish(
        self, firings: Sequence[tuple[Firing, Event | None]], context: Context, *, again: str = ""
    ) -> None:
        """On the log first, then to the hands. ``again`` names a repetition: then it is on the log already."""
        now = context.now()
        for start in range(0, len(firings), _PER_PUBLISH):
            some = firings[start : start + _PER_PUBLISH]
            if not again:
                await context.publish(
                    [
                        event
                        for firing, cause in some
                        for event in fired(firing, self._partition_of, now, cause)
                    ]
                )
            await context.publish(
                [event for firing, cause in some for event in dispatched(firing, now, cause, again)]
            )
        if firings:
            _log.info("fired", repositories=len(firings), runs=sum(len(one.runs) for one, _ in firings))

    def _partition_of(self, monitor_id: int) -> int:
        return partition_for(str(monitor_id), self._partitions)

    def _wanted(self, looked: Looked, watcher: Watcher, received: Received) -> list[Firing]:
        """Wherever refs have moved since the monitor began, searched or not.

        Left out is where nothing was searched, and the push that tells what was before is still on its way: its own run comes.
        """
        moved = {key: one for key, one in looked.pushed.items() if one.move.at > watcher.begun_at}
        passed = passed_by_firer(self._groups, moved)
        standings = self._knowledge.standings([watcher], list(moved))
        found: list[Firing] = []
        for key, one in moved.items():
            followed = looked.followed[key]
            run = catching_up(watcher, followed.place, one.move, one.offset, None)
            standing = standings.get((watcher.id, key))
            if run is None and standing is not None:
                run = FiredRun(monitor_id=watcher.id, begun=watcher.begun, since=standing.since)
            has_past = standing is not None and run is not None and standing.since == run.since
            if run is not None and (has_past or key in passed):
                found.append(
                    Firing(
                        repository_id=key,
                        location=followed.location,
                        moment=f"asked:{received.position.offset}",
                        cause=FiringCause.ASKED,
                        pushed_offset=one.offset,
                        runs=[run],
                    )
                )
        return found


def _of_push(
    looked: Looked, resting: Collection[Match], received: Received, data: RepositoryPushed
) -> Firing | None:
    followed = looked.followed.get(data.repository_id)
    if followed is None:
        return None
    offset = received.position.offset
    move = Move(
        at=received.appended_at,
        tip=data.tip,
        previous_tip=data.previous_tip,
        is_first=looked.first_offsets.get(data.repository_id, offset) == offset,
    )
    runs = [
        run
        for watcher in looked.watchers
        if (run := run_of(watcher, followed.place, move)) is not None
        and (run.monitor_id, data.repository_id, run.since) not in resting
    ]
    if not runs:
        return None
    return Firing(
        repository_id=data.repository_id,
        location=followed.location,
        moment=f"push:{offset}",
        cause=FiringCause.PUSH,
        pushed_offset=offset,
        runs=runs,
    )


def _beginning(looked: Looked, watcher: Watcher) -> list[Firing]:
    """A monitor of named revisions begins at what they are now; where the default branch was, the next push tells."""
    found = parsed(watcher.query)
    if found is None or not found.query.revisions:
        return []
    return [
        Firing(
            repository_id=key,
            location=followed.location,
            moment=f"begun:{watcher.begun}",
            cause=FiringCause.BEGUN,
            pushed_offset=looked.pushed[key].offset,
            runs=[FiredRun(monitor_id=watcher.id, begun=watcher.begun, since=since.offset)],
        )
        for key, followed in looked.followed.items()
        if key in looked.pushed and (since := found.since(followed.place)) is not None
    ]
