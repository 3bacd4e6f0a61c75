"""Picks what goes next from the waiting requests of one lane: moved to the front, then in fair turns, then moved back.

It reads only as many requests as there is room for, of the groups whose turn it is, whatever the length of the queue.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection

from projections.reading import Snapshot
from projections.recordings import queries as recordings
from projections.recordings.queries import Group
from schemas.events import DispatchedRequest, Lane, QueueEnd
from streams.known_bases import with_known_bases
from streams.recordings.dispatch import RequestKey, is_too_large, key_of
from streams.recordings.fairness import FairShare, Flow, work_of
from streams.recordings.known_series import KnownSeries
from streams.recordings.readiness import Readiness
from streams.recordings.refusals import CANCELLED, NOT_A_PUSH, NOT_THE_SERIES, TOO_LARGE, Refusal

_LARGEST_PAGE: Final = 5_000
_ROUNDS: Final = 24
"""Of reading for one lane in one look: what is not found by then is found at the next."""
_REFUSED_PAGE: Final = 1_000
_LOOK_AGAIN_S: Final = 5.0
"""A group of which all that was cancelled is refused may get some more: a request that fails later waits again."""
_GROUPS_SHARE: Final = 10.0
_GROUPS_KEPT_S: Final = 5.0


class Place(msgspec.Struct, frozen=True):
    """What one look at the queue knows: one snapshot, what is not to be picked, and the time cap of a pass."""

    snapshot: Snapshot
    hidden: set[RequestKey]
    now_s: float
    timeout_s: float

    @property
    def connection(self) -> Connection:
        return self.snapshot.connection


class Picked(msgspec.Struct, frozen=True):
    """Requests in the order in which they are to go, each with the flow that it is charged to (None: moved)."""

    requests: list[tuple[DispatchedRequest, Flow | None]] = []
    refused: list[Refusal] = []
    unknown: list[RequestKey] = []


class LanePicker:
    """One lane's queue. What it remembers is lost with the office, and found again."""

    def __init__(self, lane: Lane, readiness: Readiness, series: KnownSeries) -> None:
        self.lane = lane
        self.share = FairShare()
        self._readiness = readiness
        self._series = series
        self._groups: list[Group] = []
        self._groups_until_s = float("-inf")
        self._refused_until_s: dict[Flow, float] = {}

    def look_again(self) -> None:
        """Let the next pick read the groups, and what was cancelled, again."""
        self._groups_until_s = float("-inf")
        self._refused_until_s.clear()

    def cancelled(self, place: Place) -> list[Refusal]:
        """A page of what waits here and was cancelled."""
        asked = [
            one
            for one in self._read_groups(place)
            if one.is_cancelled and self._refused_until_s.get(_flow(one), 0.0) <= place.now_s
        ]
        if not asked:
            return []
        found = recordings.cancelled(place.connection, self.lane, asked, _REFUSED_PAGE, place.hidden)
        if len(found) < _REFUSED_PAGE:
            until_s = place.now_s + _LOOK_AGAIN_S
            self._refused_until_s = dict.fromkeys(map(_flow, asked), until_s)
        return [Refusal(one.request, one.attempts + 1, CANCELLED) for one in found]

    def pick(self, place: Place, room: int) -> Picked:
        """Up to ``room`` requests. They are not charged: see ``share``."""
        picked = Picked([], [], [])
        if room <= 0:
            return picked
        groups = [one for one in self._read_groups(place) if not one.is_paused]
        front = [one for one in groups if one.moved_to is QueueEnd.FRONT]
        back = [one for one in groups if one.moved_to is QueueEnd.BACK]
        for one in sorted(front, key=lambda one: (-one.moved_offset, one.insight_id)):
            self._moved(place, one, room, picked)
        self._in_turn(place, [one for one in groups if one.moved_to is None], room, picked)
        for one in sorted(back, key=lambda one: (one.moved_offset, one.insight_id)):
            self._moved(place, one, room, picked)
        return picked

    def _moved(self, place: Place, group: Group, room: int, picked: Picked) -> None:
        if len(picked.requests) < room:
            queues = self._queues(place, [group], room - len(picked.requests), picked)
            taken = [one for queue in queues.values() for one, _ in queue]
            picked.requests.extend((one, None) for one in taken[: room - len(picked.requests)])

    def _in_turn(self, place: Place, groups: Sequence[Group], room: int, picked: Picked) -> None:
        by_flow = {_flow(one): one for one in groups}
        left = self.share.in_turn(by_flow)
        wanted = room - len(picked.requests)
        queues: dict[Flow, list[tuple[DispatchedRequest, float]]] = {}
        size = wanted
        while left and sum(map(len, queues.values())) < wanted:
            chunk, left = left[:size], left[size:]
            queues.update(self._queues(place, [by_flow[flow] for flow in chunk], wanted, picked))
            # Groups of removed repositories have nothing for as long as these are gone: many are passed at once.
            size = min(2 * size, max(wanted, _LARGEST_PAGE // 4))
        for flow, one in self.share.chosen(queues, wanted):
            picked.requests.append((one, flow))

    def _queues(
        self, place: Place, groups: Sequence[Group], wanted: int, picked: Picked
    ) -> dict[Flow, list[tuple[DispatchedRequest, float]]]:
        """The first requests of each group that can go: together at least ``wanted``, if there are so many.

        What cannot go is remembered, and each read takes twice as many as the one before.
        """
        queues: dict[Flow, list[tuple[DispatchedRequest, float]]] = {}
        left = list(groups)
        per_group = min(wanted, max(4, 2 * wanted // len(groups)))
        seen: set[RequestKey] = set()
        for _ in range(_ROUNDS):
            waiting = recordings.candidates(
                place.connection,
                self.lane,
                left,
                per_group,
                place.hidden | seen,
                self._readiness.not_ready,
            )
            if not waiting:
                break
            seen.update(key_of(one.request) for one in waiting)
            sorted_ = self._series.sort(place.connection, waiting, place.snapshot.applied["insights"])
            picked.unknown.extend(sorted_.held)
            picked.refused.extend(
                Refusal(one.request, one.attempts + 1, NOT_THE_SERIES) for one in sorted_.wrong
            )
            located = self._readiness.located(place.connection, sorted_.good, place.timeout_s)
            picked.refused.extend(Refusal(one.request, one.attempts + 1, NOT_A_PUSH) for one in located.false)
            for one in with_known_bases(place.connection, located.ready):
                if is_too_large(one):
                    picked.refused.append(Refusal(one.request, one.attempt, TOO_LARGE))
                    continue
                flow = (one.request.creator, one.request.insight_id)
                queues.setdefault(flow, []).append((one, work_of(one.request)))
            if sum(map(len, queues.values())) >= wanted:
                break
            full = _counted((one.request.creator, one.request.insight_id) for one in waiting)
            left = [one for one in left if full.get(_flow(one), 0) >= per_group]
            if not left:
                break
            per_group = min(per_group * 2, max(wanted, _LARGEST_PAGE // len(left)))
        return queues

    def _read_groups(self, place: Place) -> list[Group]:
        """Kept for ten times as long as the reading took, at most five seconds: thousands of groups cost a tenth of
        the time, and a handful is read at every look. Pauses and cancellations hold whatever is kept."""
        if place.now_s > self._groups_until_s:
            began_s = time.perf_counter()
            self._groups = recordings.groups(place.connection, self.lane)
            took_s = time.perf_counter() - began_s
            kept_s = 0.0 if len(self._groups) < 100 else min(_GROUPS_KEPT_S, _GROUPS_SHARE * took_s)
            self._groups_until_s = place.now_s + kept_s
        return self._groups


def _flow(group: Group) -> Flow:
    return group.creator, group.insight_id


def _counted(flows: Iterable[Flow]) -> dict[Flow, int]:
    found: dict[Flow, int] = {}
    for flow in flows:
        found[flow] = found.get(flow, 0) + 1
    return found
