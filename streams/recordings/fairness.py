"""Who goes next: shares of lanes, of creators, and of one creator's insights. Pure.

Start-time fair queueing (Goyal, Vin, Cheng 1996): each flow has a tag, the work that was dispatched for it; the flow
with the smallest tag goes next, and a flow that begins to wait starts where the others are. So of two flows that wait
all the time neither gets ahead by more than one request of each, and nobody saves up a share while nothing waits.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec

from schemas.events import Lane, RecordingRequest

Flow: TypeAlias = tuple[str, int]
"""(creator, insight id)."""
Item = TypeVar("Item")

MAX_WORK: Final = 100_000_000.0
"""Of one request: whoever states a larger cost harms nobody, himself included."""
_REMEMBERED: Final = 4_096


def work_of(request: RecordingRequest) -> float:
    """What a request is charged: its estimated cost, at least one for each cell, so that nobody counts for nothing."""
    cells = sum(end - start for series in request.series for start, end in series.frames)
    return min(max(request.cost, float(cells), 1.0), MAX_WORK)


class Tags(msgspec.Struct):
    """Flows of one level. ``virtual`` is where the flow that was served last had started."""

    virtual: float = 0.0
    finished: dict[str | int, float] = {}

    def start(self, flow: str | int) -> float:
        """Where the flow's next request begins: the smallest goes next."""
        return max(self.finished.get(flow, 0.0), self.virtual)

    def charge(self, flow: str | int, work: float) -> None:
        """Say that a request of this flow was dispatched."""
        self.virtual = self.start(flow)
        self.finished[flow] = self.virtual + work
        if len(self.finished) > _REMEMBERED:
            ahead = {name: tag for name, tag in self.finished.items() if tag > self.virtual}
            # Who is not ahead starts at ``virtual`` in any case.
            self.finished = ahead

    def copy(self) -> "Tags":
        return Tags(self.virtual, dict(self.finished))


class FairShare:
    """Fair between creators, and within each between insights, by the work of what was dispatched."""

    def __init__(self) -> None:
        self._creators = Tags()
        self._insights: dict[str, Tags] = {}

    def in_turn(self, flows: Iterable[Flow]) -> list[Flow]:
        """All flows in the order in which each would get its next request, if each had one."""
        by_creator: dict[str, list[Flow]] = {}
        for flow in flows:
            by_creator.setdefault(flow[0], []).append(flow)
        ordered: list[tuple[int, float, str, Flow]] = []
        for creator, mine in by_creator.items():
            tags = self._insights.get(creator) or Tags()
            mine.sort(key=lambda flow: (tags.start(flow[1]), flow[1]))
            start = self._creators.start(creator)
            ordered += [(turn, start, creator, flow) for turn, flow in enumerate(mine)]
        ordered.sort()
        return [flow for _, _, _, flow in ordered]

    def chosen(
        self, queues: Mapping[Flow, Sequence[tuple[Item, float]]], room: int
    ) -> list[tuple[Flow, Item]]:
        """The next ``room`` items of the queues, (item, work) each in its order, as if each were charged when it is
        chosen. Nothing is charged yet."""
        creators = self._creators.copy()
        insights = {creator: self._tags(creator).copy() for creator, _ in queues}
        heaps: dict[str, list[tuple[float, int]]] = {}
        for (creator, insight_id), items in queues.items():
            if items:
                heaps.setdefault(creator, []).append((insights[creator].start(insight_id), insight_id))
        for heap in heaps.values():
            heapq.heapify(heap)
        waiting = [(creators.start(creator), creator) for creator in heaps]
        heapq.heapify(waiting)
        taken: dict[Flow, int] = {}
        found: list[tuple[Flow, Item]] = []
        while waiting and len(found) < room:
            _, creator = heapq.heappop(waiting)
            _, insight_id = heapq.heappop(heaps[creator])
            flow = (creator, insight_id)
            place = taken.get(flow, 0)
            item, work = queues[flow][place]
            found.append((flow, item))
            taken[flow] = place + 1
            creators.charge(creator, work)
            insights[creator].charge(insight_id, work)
            if place + 1 < len(queues[flow]):
                heapq.heappush(heaps[creator], (insights[creator].start(insight_id), insight_id))
            if heaps[creator]:
                heapq.heappush(waiting, (creators.start(creator), creator))
        return found

    def charge(self, flow: Flow, work: float) -> None:
        """Say that a request of this flow was dispatched."""
        creator, insight_id = flow
        self._creators.charge(creator, work)
        self._insights.setdefault(creator, Tags()).charge(insight_id, work)
        if len(self._insights) > _REMEMBERED:
            self._insights = {
                name: tags
                for name, tags in self._insights.items()
                if self._creators.finished.get(name, 0.0) > self._creators.virtual
            }

    def _tags(self, creator: str) -> Tags:
        return self._insights.get(creator) or Tags()


class LaneTurns:
    """Lanes that share one window: each is guaranteed its part of it, and of what is dispatched."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = tuple(lanes)
        self._last = self._lanes[-1]

    def merged(
        self, queues: Mapping[Lane, Sequence[Item]], in_flight: Mapping[Lane, int], window: int, room: int
    ) -> list[tuple[Lane, Item]]:
        """At most ``room`` items in the order in which they are to go.

        A lane with less than its part of the window in flight goes before one with more; among equals they take turns.
        What one lane does not use goes to the others.
        """
        flying = {lane: in_flight.get(lane, 0) for lane in self._lanes}
        places = dict.fromkeys(self._lanes, 0)
        last = self._last
        found: list[tuple[Lane, Item]] = []
        while len(found) < room:
            waiting = [lane for lane in self._lanes if places[lane] < len(queues.get(lane, ()))]
            if not waiting:
                break
            entitled = [lane for lane in waiting if flying[lane] * len(self._lanes) < window]
            last = self._after(last, entitled or waiting)
            found.append((last, queues[last][places[last]]))
            places[last] += 1
            flying[last] += 1
        return found

    def served(self, lanes: Sequence[Lane]) -> None:
        """Say which lanes' requests were dispatched, in order."""
        if lanes:
            self._last = lanes[-1]

    def _after(self, last: Lane, among: Collection[Lane]) -> Lane:
        start = self._lanes.index(last) + 1
        turns = (*self._lanes[start:], *self._lanes[:start])
        return next(lane for lane in turns if lane in among)
