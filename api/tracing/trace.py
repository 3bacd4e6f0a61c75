"""What is known of one event, as plain values: filled by ``tracer``, shown by the command, the page and the schema."""

from datetime import datetime
from enum import StrEnum

import msgspec

from api.event_status import Publication
from projections.judged import Verdict
from schemas.envelope import Position


class Reading(StrEnum):
    """What a reader of the log makes of the record."""

    EVENT = "EVENT"
    DEAD_LETTER = "DEAD_LETTER"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    UNKNOWN_VERSION = "UNKNOWN_VERSION"


class Passing(StrEnum):
    """What a projection has made of it."""

    WAITING = "WAITING"
    APPLIED = "APPLIED"
    SKIPPED = "SKIPPED"
    IGNORED = "IGNORED"
    DEAD_LETTER = "DEAD_LETTER"
    QUARANTINED = "QUARANTINED"
    DROPPED = "DROPPED"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The record itself, read back from the log. Texts of headers and payload are cut, and the payload shown as JSON is text.

    ``reason`` and ``path`` say why it is no event. Attributes are None where the record does not have them.
    """

    reading: Reading
    reason: str = ""
    path: str = ""
    structured: bool = False
    size_bytes: int
    appended_at: datetime
    key: str | None = None
    id: str | None = None
    source: str | None = None
    type: str | None = None
    subject: str | None = None
    time: datetime | None = None
    version: int | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    headers: list[tuple[str, str]] = []
    payload: str | None = None


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """One projection that reads the topic. ``passed_by``: at this time at the latest, by the projector's clock."""

    projection: str
    generation: int
    passing: Passing
    next_offset: int | None = None
    passed_by: datetime | None = None
    reason: str = ""


class GroupPassage(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer group on the topic. ``agents`` are those of it that owe something for events of this topic."""

    group: str
    agents: tuple[str, ...]
    next_offset: int | None
    passed: bool


class Linked(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the chain. ``depth`` is the distance; ``caused_by`` the position of the event above it.

    Without a ``position`` it is known by name alone: the log does not hold it any more, or it never came.
    """

    depth: int
    id: str
    source: str = ""
    type: str = ""
    subject: str = ""
    position: Position | None = None
    appended_at: datetime | None = None
    caused_by: Position | None = None
    verdict: Verdict | None = None


class Counted(msgspec.Struct, frozen=True):
    """How many events of a type the event has caused directly; ``at_least`` when there are more than were counted."""

    type: str
    count: int
    at_least: bool = False


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """One obligation. ``of_this``: it is this very event that opened it; else it is owed for the same aggregate."""

    obligation: str
    agents: tuple[str, ...]
    subject: str
    attempt: int
    attempts: int
    opened: Position | None
    of_this: bool
    failed_at: datetime | None = None
    message: str


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. ``words`` are the answer in sentences, the most important one first.

    Not ``found``: ``words`` say what was looked for and where. ``status_only``: the asker may know the verdict, and no more.
    ``causes`` go up, the nearest first; ``effects`` down, each below its cause; ``more_effects`` when bounds cut them.
    """

    asked: str
    found: bool
    words: list[str]
    status_only: bool = False
    id: str | None = None
    source: str | None = None
    type: str | None = None
    subject: str | None = None
    position: Position | None = None
    appended_at: datetime | None = None
    verdict: Verdict | None = None
    publications: list[Publication] = []
    other_sources: list[str] = []
    look: Look | None = None
    passages: list[Passage] = []
    groups: list[GroupPassage] = []
    causes: list[Linked] = []
    effects: list[Linked] = []
    effect_counts: list[Counted] = []
    more_effects: bool = False
    owed: list[Due] = []
    more_owed: bool = False
