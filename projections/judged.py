"""What became of an event of an open topic: accepted once passed, rejected when it is a dead letter (DESIGN 1, sentence 5)."""

from typing import Final

import msgspec
from sqlalchemy import Connection, text

from projections.catalogue import PROJECTIONS
from projections.generations import live_generations
from schemas.envelope import Position

ACCEPTED: Final = "ACCEPTED"
REJECTED: Final = "REJECTED"

_DEAD_LETTER: Final = """
select reason, path from "{schema}".dead_letters
where topic = :topic and partition = :partition and "offset" = :offset
"""
"""Why the record at a position is no event, in one generation."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``state`` is ACCEPTED or REJECTED; ``reason`` is empty when accepted."""

    state: str
    reason: str = ""


def verdict(connection: Connection, position: Position) -> Verdict:
    """The verdict on a record that the projections of its topic have passed (``Reader.wait_for``).

    For a role that may read dead letters (not ``app``).
    """
    live = live_generations(connection)
    readers = [one.name for one in PROJECTIONS if position.topic in one.topics and one.name in live]
    for name in readers:
        found = connection.execute(
            text(_DEAD_LETTER.format(schema=live[name].schema_name)),
            {"topic": position.topic, "partition": position.partition, "offset": position.offset},
        ).first()
        if found is not None:
            reason, path = found
            return Verdict(state=REJECTED, reason=f"{path} {reason}".strip())
    return Verdict(state=ACCEPTED)
