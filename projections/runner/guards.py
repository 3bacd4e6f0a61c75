"""The guard: judges the guarded events of a batch before the fold, from each aggregate's own past (DESIGN section 5).

What it needs to know stands in the generation's rows ``guards`` and ``guard_events``, which move in the transaction of the batch.
Batches are prepared while earlier ones are still being written, so what those will write lies over the rows until it is written.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from projections.folding import Folding
from schemas.envelope import Position
from schemas.legality import RULES, Accepted, AggregateState, Decide, Judgement

Aggregate = tuple[str, int, str]
"""(topic, partition, aggregate id): a publisher with another partitioner cannot make two partitions judge one past. The id
is that of the payload's type, whatever subject the envelope states; several aggregates may share a record key."""
Said = tuple[Aggregate, str, str]
"""(aggregate, source, id)."""


class Known(msgspec.Struct, frozen=True):
    """What the rows say: the aggregate's state, and the offset at which this (source, id) was accepted, if it was."""

    state: AggregateState
    of: int | None


Load = Callable[[Sequence[Said]], Mapping[Said, Known]]
"""Reads the rows for these, all at once; every one asked for is answered."""


class Decision(msgspec.Struct, frozen=True):
    """One guarded event and what was decided."""

    position: Position
    said: Said
    judgement: Judgement


class Decisions:
    """What was decided about one batch, to be written with it. Set ``written`` once the batch is committed."""

    def __init__(self, all_: Sequence[Decision], *, owned: frozenset[str]) -> None:
        self.all: Final = all_
        self.owned: Final = owned
        """Topics whose verdicts are to be written down."""
        self.written = False

    @property
    def refused(self) -> set[Position]:
        """Where the events lie that no fold may see: rejected ones and duplicates."""
        return {one.position for one in self.all if not isinstance(one.judgement, Accepted)}

    def states(self) -> dict[Aggregate, AggregateState]:
        """Every aggregate that changed, as it is after the batch."""
        return {one.said[0]: one.judgement.state for one in self.all if isinstance(one.judgement, Accepted)}


class Guards:
    """The guard of one generation's partitions. For one thread, but that another may set ``Decisions.written``.

    ``forget`` at every assignment: what others wrote meanwhile is in the rows.
    """

    def __init__(self, load: Load, owned: Iterable[str] = (), rules: Mapping[str, Decide] = RULES) -> None:
        self._load: Final = load
        self._owned: Final = frozenset(owned)
        self._rules: Final = rules
        self._unwritten: deque[Decisions] = deque()

    def forget(self) -> None:
        """Begin anew from the rows."""
        self._unwritten.clear()

    def judge(self, events: Sequence[Folding]) -> Decisions:
        """Decide about guarded events, each partition's in order; at most one load. Raises what the load raises."""
        while self._unwritten and self._unwritten[0].written:
            self._unwritten.popleft()
        asked = [((*_place(one), _aggregate(one)), one.event.source, one.event.id) for one in events]
        states: dict[Aggregate, AggregateState] = {}
        ids: dict[Aggregate, dict[tuple[str, str], int]] = {}
        for earlier in self._unwritten:
            _lay_over(earlier.all, states, ids)
        unknown = [one for one in asked if one[0] not in states or one[1:] not in ids.get(one[0], {})]
        if unknown:
            for said, known in self._load(list(dict.fromkeys(unknown))).items():
                states.setdefault(said[0], known.state)
                if known.of is not None:
                    ids.setdefault(said[0], {}).setdefault(said[1:], known.of)
        found: list[Decision] = []
        for said, one in zip(asked, events, strict=True):
            judgement = self._rules[one.position.topic](states[said[0]], one.event, ids.get(said[0], {}))
            decision = Decision(one.position, said, judgement)
            _lay_over((decision,), states, ids)
            found.append(decision)
        decisions = Decisions(found, owned=self._owned)
        self._unwritten.append(decisions)
        return decisions


def _place(one: Folding) -> tuple[str, int]:
    return one.position.topic, one.position.partition


def _aggregate(one: Folding) -> str:
    return one.event.type.subject(one.event.data)


def _lay_over(
    decisions: Iterable[Decision],
    states: dict[Aggregate, AggregateState],
    ids: dict[Aggregate, dict[tuple[str, str], int]],
) -> None:
    for one in decisions:
        if isinstance(one.judgement, Accepted):
            aggregate, source, event_id = one.said
            states[aggregate] = one.judgement.state
            ids.setdefault(aggregate, {})[source, event_id] = one.position.offset
