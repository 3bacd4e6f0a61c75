"""What somebody looks for: an event by its id, or whatever lies at a position. Pure."""

import re
from typing import Final

import msgspec

from schemas.envelope import Position
from schemas.errors import MillstreamError
from schemas.topics import Topic

MAX_ID_CHARACTERS: Final = 1_024
_OF_OURS: Final = re.compile(r"millstream\.[a-z._-]+/\d+@\d+")
"""What can only be meant as a position, whether there is such a topic or not."""
_TOPICS: Final = frozenset(topic.value for topic in Topic)


class NotAsked(MillstreamError):
    """What was given names no event. ``field`` is the argument at fault."""

    def __init__(self, field: str, message: str, *, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.field = field


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one of ``id`` and ``position``; ``source`` narrows an id down."""

    id: str | None = None
    source: str | None = None
    position: Position | None = None

    def __str__(self) -> str:
        if self.position is not None:
            return str(self.position)
        return f"{self.id}" + (f" of {self.source}" if self.source else "")


def asked(event_id: str | None = None, source: str | None = None, position: str | None = None) -> Asked:
    """From the arguments of a caller. Raises NotAsked."""
    for field, text in (("id", event_id), ("source", source), ("position", position)):
        if text is not None and ("\0" in text or len(text) > MAX_ID_CHARACTERS):
            raise NotAsked(
                field,
                f"the {field} has a NUL character, or more than {MAX_ID_CHARACTERS} characters: no event has such a one",
                remedy="Give the id as the event has it, or its position: topic/partition@offset.",
            )
    if position is not None and not event_id:
        return Asked(position=_position(position))
    if not event_id or position is not None:
        raise NotAsked(
            "id", "an event is named by its id or by its position", remedy="Give one of the two, not both."
        )
    return Asked(id=event_id, source=source or None)


def from_text(text: str, source: str | None = None) -> Asked:
    """One text that is a position on a topic of ours, or else an id. Raises NotAsked."""
    place = text.rpartition("@")[0].rpartition("/")[0]
    if source is None and (place in _TOPICS or _OF_OURS.fullmatch(text)):
        return asked(position=text)
    return asked(event_id=text, source=source)


def _position(text: str) -> Position:
    try:
        found = Position.parse(text)
    except ValueError as error:
        raise _no_position(text) from error
    if found.topic not in _TOPICS:
        raise NotAsked(
            "position",
            f"Millstream has no topic {found.topic}",
            remedy="millstream topics list shows them.",
        )
    if found.partition < 0 or found.offset < 0 or found.offset > 2**62:
        raise _no_position(text)
    return found


def _no_position(text: str) -> NotAsked:
    return NotAsked(
        "position",
        f"{text!r} is no position",
        remedy="Give topic/partition@offset, as in millstream.results/3@17.",
    )
