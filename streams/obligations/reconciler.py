"""The reconciler: sees that what is owed comes, asks for it again, and gives up in words (DESIGN section 6).

A leader timer. Something is overdue only when its agent's group has passed the event that asked for it, the deadline
has run since this process first saw that, and the projections have passed the ends of the closing topics as read
after the deadline. So neither a backlog nor a paused projection causes a renewal. Attempts are counted by a projection
of the renewals themselves, so a new leader counts on, and two leaders say one event twice.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from infra import metrics
from projections.obligations import queries as obligations
from projections.reading import Reader
from schemas.codec import new_event
from schemas.events import ObligationFailed, ObligationRenewed
from schemas.ids import derived_event_id
from schemas.registry import Payload
from schemas.topics import Topic
from streams.agent import Context, Outgoing, Timer
from streams.obligations.obligation import Key, Obligation, Owed
from streams.obligations.watch import Vector, Watch
from streams.projected import EndsOfTopics

SOURCE: Final = "//millstream/reconciler"
TICK_S: Final = 1.0
NO_OUTCOME: Final = "no-outcome"
_MEMORY: Final = "obligations"
"""The projection that counts the attempts."""
_PAGE: Final = 500
"""Obligations that are renewed, or looked at closely, in one look."""
_WAIT_S: Final = 1.0
_log = structlog.get_logger()


class Groups(Protocol):
    """What groups have passed: ``infra.kafka.admin.KafkaAdmin``."""

    def group_offsets(self, group: str) -> Mapping[tuple[str, int], int]: ...


class Reconciler:
    """All of its methods run on the event loop; reading happens on threads."""

    def __init__(
        self,
        registry: Sequence[Obligation],
        reader: Reader,
        log_ends: EndsOfTopics,
        groups: Groups,
        context: Context,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._log_ends = log_ends
        self._groups = groups
        self._context = context
        self._clock = clock
        self._watches = {one.name: Watch() for one in registry}
        self._looked_s = {one.name: float("-inf") for one in registry}
        self._ticking = asyncio.Lock()

    @property
    def timer(self) -> Timer:
        return Timer(name="reconciler", interval_s=TICK_S, tick=self.tick)

    async def tick(self) -> None:
        """Look at every obligation whose turn it is. Raises what reading and publishing raise."""
        if self._ticking.locked():
            return
        async with self._ticking:
            for obligation in self._registry:
                if self._clock() - self._looked_s[obligation.name] >= obligation.look_s:
                    self._looked_s[obligation.name] = self._clock()
                    await self._look(obligation, self._watches[obligation.name])

    async def _look(self, obligation: Obligation, watch: Watch) -> None:
        owed = await asyncio.to_thread(self._owed, obligation)
        passed = await asyncio.to_thread(self._groups.group_offsets, obligation.group) if owed else {}
        late = watch.late(owed, passed, self._clock(), obligation.deadline_s)
        if not late:
            watch.answered()
            return
        if watch.ends is None:
            watch.ask(late, await asyncio.to_thread(self._log_ends.ends, _topics(obligation)))
        if watch.ends is None or not await self._projected(obligation, watch.ends):
            _log.info("obligation_waits_for_projection", obligation=obligation.name, late=len(late))
            return
        late_keys = set([one.key for one in late if one.key in watch.asked][:_PAGE])
        watch.answered()
        open_still = await asyncio.to_thread(self._open_still, obligation, late_keys)
        if obligation.unmet is not None:
            watch.met |= late_keys - {one.key for one in open_still}
        again = [one for one in open_still if one.attempt < obligation.attempts]
        spent = [one for one in open_still if one.attempt >= obligation.attempts]
        if again:
            await self._renew(obligation, again)
        if spent:
            await self._give_up(obligation, spent)

    def _owed(self, obligation: Obligation) -> list[Owed]:
        """What is open, with the attempt that was asked for last."""
        with self._reader.snapshot({*obligation.closing, _MEMORY}) as snapshot:
            found = obligation.owed(snapshot.connection)
            said = obligations.again(
                snapshot.connection, obligation.name, {one.aggregate_id for one in found}
            )
        counted: list[Owed] = []
        for one in found:
            again = said.get((one.aggregate_id, one.subject))
            if again is None or (again.attempt <= one.attempt and not again.failed):
                counted.append(one)
            elif not again.failed:
                opened = again.position or one.opened
                counted.append(msgspec.structs.replace(one, attempt=again.attempt, opened=opened))
        return counted

    def _open_still(self, obligation: Obligation, keys: set[Key]) -> list[Owed]:
        """Those of ``keys`` that are open after the projections have passed what closes them."""
        found = [one for one in self._owed(obligation) if one.key in keys]
        if obligation.unmet is None or not found:
            return found
        with self._reader.snapshot({*obligation.closing, _MEMORY}) as snapshot:
            unmet = obligation.unmet(snapshot.connection, found)
        return [one for one in found if one.key in unmet]

    async def _projected(self, obligation: Obligation, ends: Vector) -> bool:
        """Whether all projections that tell of the outcome have passed ``ends``, within a moment."""
        waits = [
            asyncio.to_thread(self._reader.wait_until, name, _of(ends, topics), _WAIT_S)
            for name, topics in {**obligation.closing, _MEMORY: (obligation.topic,)}.items()
        ]
        return all(await asyncio.gather(*waits))

    async def _renew(self, obligation: Obligation, late: Sequence[Owed]) -> None:
        await self._publish(
            [
                (
                    ObligationRenewed(
                        obligation=obligation.name,
                        aggregate_id=one.aggregate_id,
                        subject=one.subject,
                        attempt=one.attempt + 1,
                    ),
                    derived_event_id(
                        "obligation.renewed",
                        obligation.name,
                        one.aggregate_id,
                        one.subject,
                        one.attempt + 1,
                    ),
                    obligation.topic,
                )
                for one in late
            ]
        )
        metrics.OBLIGATIONS_RENEWED.labels(obligation.name).inc(len(late))
        _log.warning(
            "obligations_renewed",
            obligation=obligation.name,
            count=len(late),
            first_subject=late[0].subject,
            first_attempt=late[0].attempt + 1,
        )

    async def _give_up(self, obligation: Obligation, spent: Sequence[Owed]) -> None:
        """Say it in words. Who waits for the outcome hears it from the projection that owns the row."""
        await self._publish(
            [
                (
                    ObligationFailed(
                        obligation=obligation.name,
                        aggregate_id=one.aggregate_id,
                        subject=one.subject,
                        attempts=one.attempt,
                        reason=NO_OUTCOME,
                        message=_message(obligation, one),
                    ),
                    derived_event_id("obligation.failed", obligation.name, one.aggregate_id, one.subject),
                    obligation.topic,
                )
                for one in spent
            ]
        )
        metrics.OBLIGATIONS_FAILED.labels(obligation.name).inc(len(spent))
        for one in spent:
            _log.error("obligation_failed", obligation=obligation.name, message=_message(obligation, one))

    async def _publish(self, said: Sequence[tuple[Payload, str, Topic]]) -> None:
        now = self._context.now()
        if said:
            await self._context.publish(
                [
                    Outgoing(new_event(payload, source=SOURCE, time=now, event_id=event_id), topic)
                    for payload, event_id, topic in said
                ]
            )


def _topics(obligation: Obligation) -> set[Topic]:
    return {obligation.topic, *(topic for topics in obligation.closing.values() for topic in topics)}


def _of(ends: Vector, topics: Sequence[Topic]) -> dict[tuple[str, int], int]:
    return {place: end for place, end in ends.items() if place[0] in topics}


def _message(obligation: Obligation, one: Owed) -> str:
    owes = obligation.owes.format(aggregate_id=one.aggregate_id, subject=one.subject)
    times = "once" if one.attempt == 1 else f"{one.attempt} times"
    return (
        f"{owes} did not come: it was asked for {times}, and each time {obligation.deadline_s:g} s passed after "
        f"{obligation.agents[0]} had the request. {obligation.remedy}"
    )
