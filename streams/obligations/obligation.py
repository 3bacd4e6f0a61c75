"""The shape of an obligation: policy, and one query that says what is still owed. No clock, no client."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

import msgspec
from sqlalchemy import Connection

from schemas.envelope import Position
from schemas.registry import Payload
from schemas.topics import Topic
from streams.obligations.names import Owing

Key: TypeAlias = tuple[int, str, int]
"""(aggregate id, subject, attempt)."""


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """One obligation that is open. ``opened`` is where the event lies that asked for this attempt."""

    aggregate_id: int
    subject: str
    opened: Position
    attempt: int = 1

    @property
    def key(self) -> Key:
        return self.aggregate_id, self.subject, self.attempt


Query = Callable[[Connection], Sequence[Owed]]
"""Everything that is open, first attempts as far as the rows tell; read inside one snapshot."""
Unmet = Callable[[Connection, Sequence[Owed]], Collection[Key]]
"""Which of these are open indeed, where finding out costs more than a row: asked once for each, in pages."""


class Obligation(msgspec.Struct, frozen=True, kw_only=True):
    """An event that an agent answers with another.

    ``agents`` are those who owe it. The attempt is passed when the offsets of ``group`` are behind ``Owed.opened``;
    from then on the outcome is due within ``deadline_s``. ``closing`` says which projections tell of the outcome,
    and on which topics they read it. ``topic`` is that of the opening event, on which renewals stand.
    """

    name: Owing
    agents: tuple[str, ...]
    opening: type[Payload]
    outcomes: tuple[type[Payload], ...]
    topic: Topic
    group: str
    closing: Mapping[str, tuple[Topic, ...]]
    owed: Query
    deadline_s: float
    attempts: int
    owes: str
    """What did not come, for people: "the plan of insight 17"; ``{aggregate_id}`` and ``{subject}`` are filled in."""
    remedy: str
    look_s: float = 5.0
    unmet: Unmet | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Work that an agent finds by looking at the present state again and again: nothing of it can be missed.

    No event is owed twice: the next look does what the last one did not.
    """

    name: Owing
    agents: tuple[str, ...]
    looks_at: str
