"""The safety net of monitors: moved refs that no run has covered, runs whose outcome does not come, history that is too old.

It compares what the newest push of each repository said with what it compared last time, so a look where nothing moved
costs one read.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from infra.topics import HANDS_APP
from projections.monitors.queries import history
from projections.monitors.queries.positions import OpenRun
from projections.reading import Reader
from schemas.codec import new_event
from schemas.events import FiredRun, FiringCause, TriggerPruned
from schemas.ids import derived_event_id
from schemas.topics import Topic
from streams.agent import Context, Outgoing, Timer
from streams.monitors.firer import Firer
from streams.monitors.firing import SOURCE, Firing, ended_as_removed
from streams.monitors.knowledge import Followed, Knowledge, Match, Pushed
from streams.monitors.passed import Groups, passed_by_firer
from streams.monitors.runs import Scopes, Watcher, catching_up
from streams.projected import EndsOfTopics

TICK_S: Final = 1.0
GRACE_S: Final = 20.0
"""A push that is younger has its own run on the way."""
LOST_AFTER_S: Final = 60.0
_LOST_LOOK_S: Final = 30.0
_PRUNE_LOOK_S: Final = 600.0
_OPEN_RUNS: Final = 5_000
_PRUNED: Final = 1_000
_PAGE: Final = 1_000
"""Repositories that are looked at closely together."""
EMPTY_KEPT: Final = timedelta(hours=24)
ALL_KEPT: Final = timedelta(days=30)
_log = structlog.get_logger()


class MonitorClock:
    """One per process; its timers run in the leader."""

    def __init__(
        self,
        reader: Reader,
        log_ends: EndsOfTopics,
        groups: Groups,
        firer: Firer,
        context: Context,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self._groups = groups
        self._firer = firer
        self._context = context
        self._clock = clock
        self._knowledge = Knowledge(reader)
        self._looked_s = dict.fromkeys(("moved", "lost", "prune"), float("-inf"))
        self._settled: dict[int, int] = {}
        self._watchers: list[Watcher] = []
        self._ticking = asyncio.Lock()

    @property
    def timers(self) -> tuple[Timer, ...]:
        return (Timer(name="monitors.tick", interval_s=TICK_S, tick=self.tick),)

    async def tick(self) -> None:
        """Do what is due."""
        if self._ticking.locked():
            return
        async with self._ticking:
            if self._is_due("lost", _LOST_LOOK_S):
                await self.find_lost()
            if self._is_due("moved", await asyncio.to_thread(self._knowledge.interval_s)):
                await self.find_moved()
            if self._is_due("prune", _PRUNE_LOOK_S):
                await self.prune()

    def _is_due(self, what: str, interval_s: float) -> bool:
        if self._clock() - self._looked_s[what] < interval_s:
            return False
        self._looked_s[what] = self._clock()
        return True

    async def find_moved(self) -> int:
        """Begin runs where refs moved and nothing has covered it; how many."""
        firings = await asyncio.to_thread(self._moved)
        await self._firer.publish([(one, None) for one in firings], self._context)
        return sum(len(one.runs) for one in firings)

    async def find_lost(self) -> int:
        """Dispatch again what the hands had, and gave no outcome of; how many runs.

        Where the repository is followed no more there is nothing to search: these runs end.
        """
        before = self._context.now() - timedelta(seconds=LOST_AFTER_S)
        lost = await asyncio.to_thread(self._knowledge.open_runs, before, _OPEN_RUNS)
        if not lost or not await asyncio.to_thread(self._hands_have_read_all):
            return 0
        firings, gone = await asyncio.to_thread(self._again, lost)
        if gone:
            await self._context.publish([ended_as_removed(one, self._context.now()) for one in gone])
        again = f"-{int(self._context.now().timestamp()) // int(_LOST_LOOK_S)}"
        await self._firer.publish([(one, None) for one in firings], self._context, again=again)
        given_out = sum(len(one.runs) for one in firings)
        _log.warning("runs_dispatched_again", runs=given_out, ended=len(gone))
        return given_out

    async def prune(self) -> int:
        """Say what of the history is too old; of how many monitors."""
        now = self._context.now()
        empty_before, all_before = now - EMPTY_KEPT, now - ALL_KEPT
        found = await asyncio.to_thread(self._prunable, empty_before, all_before)
        if not found:
            return 0
        await self._context.publish(
            [
                Outgoing(
                    new_event(
                        TriggerPruned(
                            monitor_id=monitor_id, empty_before=empty_before, all_before=all_before
                        ),
                        source=SOURCE,
                        time=now,
                        event_id=derived_event_id(
                            "trigger.pruned", monitor_id, int(now.timestamp()) // int(_PRUNE_LOOK_S)
                        ),
                    )
                )
                for monitor_id in found
            ]
        )
        return len(found)

    def _prunable(self, empty_before: datetime, all_before: datetime) -> list[int]:
        with self._reader.snapshot(("monitors",)) as snapshot:
            return history.prunable(
                snapshot.connection, empty_before=empty_before, all_before=all_before, first=_PRUNED
            )

    def _moved(self) -> list[Firing]:
        watchers = self._knowledge.watchers()
        if watchers != self._watchers:
            self._watchers, self._settled = watchers, {}
        if not watchers:
            return []
        young = self._context.now() - timedelta(seconds=GRACE_S)
        since = min(one.begun_at for one in watchers)
        moved = {
            key: one
            for key, one in self._knowledge.pushed_since(since).items()
            if self._settled.get(key) != one.offset and one.move.at < young
        }
        moved = passed_by_firer(self._groups, moved)
        if not moved:
            return []
        under_way = {
            (one.monitor_id, one.repository_id)
            for one in self._knowledge.open_runs(self._context.now() + timedelta(days=1), _OPEN_RUNS)
        }
        resting = self._knowledge.resting(watchers, moved, self._context.now())
        keys = sorted(moved)
        found = [
            firing
            for start in range(0, len(keys), _PAGE)
            for firing in self._due(
                watchers, {key: moved[key] for key in keys[start : start + _PAGE]}, under_way, resting
            )
        ]
        # What is under way may fail, and what rests is due later: it is looked at again.
        busy = {one.repository_id for one in found} | {key for _, key in under_way}
        busy |= {key for _, key, _ in resting}
        self._settled.update({key: one.offset for key, one in moved.items() if key not in busy})
        return found

    def _due(
        self,
        watchers: list[Watcher],
        moved: dict[int, Pushed],
        under_way: set[tuple[int, int]],
        resting: set[Match],
    ) -> list[Firing]:
        looked = self._knowledge.looked(moved)
        standings = self._knowledge.standings(watchers, moved)
        bucket = int(self._context.now().timestamp()) // 60
        found: list[Firing] = []
        for key, one in sorted(moved.items()):
            followed = looked.followed.get(key)
            if followed is None:
                continue
            known: Scopes = {}
            runs = [
                run
                for watcher in watchers
                if (watcher.id, key) not in under_way
                and (
                    run := catching_up(
                        watcher,
                        followed.place,
                        one.move,
                        one.offset,
                        standings.get((watcher.id, key)),
                        known,
                    )
                )
                is not None
                and (run.monitor_id, key, run.since) not in resting
            ]
            if runs:
                moment = f"tick:{one.offset}:{bucket}"
                found.append(_firing(key, followed, moment, FiringCause.TICK, one.offset, runs))
        return found

    def _again(self, lost: list[OpenRun]) -> tuple[list[Firing], list[OpenRun]]:
        """What is to be given out again, and the runs of repositories that were removed."""
        looked = self._knowledge.looked({one.repository_id for one in lost})
        if not looked.watchers:  # nobody looks any more, and so nothing was read of the repositories
            return [], []
        gone = [one for one in lost if one.repository_id not in looked.followed]
        together: dict[tuple[int, str, str, int], list[FiredRun]] = {}
        for one in lost:
            together.setdefault((one.repository_id, one.moment, one.cause, one.pushed_offset), []).append(
                FiredRun(
                    monitor_id=one.monitor_id,
                    begun=one.begun,
                    since=one.since,
                    base=None if one.base is None else list(one.base),
                )
            )
        firings = [
            _firing(key, looked.followed[key], moment, FiringCause(cause), offset, runs)
            for (key, moment, cause, offset), runs in together.items()
            if key in looked.followed
        ]
        return firings, gone

    def _hands_have_read_all(self) -> bool:
        passed = self._groups.group_offsets(HANDS_APP)
        ends = self._log_ends.ends((Topic.WORK_INTERACTIVE,))
        return all(passed.get(place, 0) >= end for place, end in ends.items())


def _firing(
    key: int, followed: Followed, moment: str, cause: FiringCause, offset: int, runs: list[FiredRun]
) -> Firing:
    return Firing(
        repository_id=key,
        location=followed.location,
        moment=moment,
        cause=cause,
        pushed_offset=offset,
        runs=runs,
    )
