"""Who has passed an event: projections by their checkpoint rows, agents by what their groups committed."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec
from sqlalchemy import Connection, text

from api.tracing.trace import GroupPassage, Passage, Passing, Reading
from infra.topics import HANDS_APP, HEADS_APP, PROJECTION_GROUPS
from projections.catalogue import PROJECTIONS
from projections.generations import LiveGeneration
from projections.judged import DUPLICATE, REJECTED, Verdict
from projections.projection import Decoding, Projection
from schemas.envelope import Position
from schemas.topics import Topic
from streams.obligations.registry import OBLIGATIONS

FOREIGN_AT_MOST: Final = 20
"""Groups beside our agents' that are asked about."""

_CHECKPOINT: Final = """
select next_offset, applied_at, state, state_reason from "{schema}".checkpoints
where topic = :topic and partition = :partition
"""
_DEAD_LETTER: Final = """
select path, reason from "{schema}".dead_letters
where topic = :topic and partition = :partition and "offset" = :offset
"""
_QUARANTINED: Final = """
select reason, behind from "{schema}".quarantine
where topic = :topic and partition = :partition and "offset" = :offset
"""
_DROPPED: Final = """
select ordered from "{schema}".dropped
where topic = :topic and partition = :partition and "offset" = :offset
"""


class Groups(Protocol):
    """What groups have passed: ``infra.kafka.admin.KafkaAdmin``."""

    def groups(self) -> set[str]: ...
    def group_offsets(self, group: str) -> Mapping[tuple[str, int], int]: ...


def passages(
    connection: Connection,
    live: Mapping[str, LiveGeneration],
    position: Position,
    reading: Reading | None,
    verdict: Verdict,
) -> list[Passage]:
    """Every projection of this build that reads the topic. ``reading`` None: the log does not hold the record any more.

    ``connection`` has to see dead letters and quarantine (not the app's).
    """
    found: list[Passage] = []
    for one in PROJECTIONS:
        if position.topic not in {topic.value for topic in one.topics}:
            continue
        generation = live.get(one.name)
        if generation is None:
            reason = "nothing is projected yet"
            found.append(Passage(projection=one.name, generation=0, passing=Passing.WAITING, reason=reason))
        else:
            found.append(_passage(connection, one, generation, position, reading, verdict))
    return found


def group_passages(groups: Groups, position: Position) -> list[GroupPassage]:
    """Our agents' groups, and others that have committed on this partition. Raises KafkaError."""
    there = groups.groups()
    ours = [HANDS_APP, HEADS_APP]
    others = sorted(name for name in there if name not in ours and not name.startswith(PROJECTION_GROUPS))[
        :FOREIGN_AT_MOST
    ]
    found: list[GroupPassage] = []
    for name in [*ours, *others]:
        offsets = groups.group_offsets(name) if name in there else {}
        at = offsets.get((position.topic, position.partition))
        reads = any(topic == position.topic for topic, _ in offsets)
        if at is None and not reads:
            continue
        found.append(
            GroupPassage(
                group=name,
                agents=agents_of(name, position.topic),
                next_offset=at,
                passed=at is not None and at > position.offset,
            )
        )
    return found


def agents_of(group: str, topic: str) -> tuple[str, ...]:
    """Agents of the group that owe something for events of this topic."""
    return tuple(
        sorted(
            {name for one in OBLIGATIONS if one.group == group and one.topic == topic for name in one.agents}
        )
    )


def _passage(
    connection: Connection,
    projection: Projection,
    generation: LiveGeneration,
    position: Position,
    reading: Reading | None,
    verdict: Verdict,
) -> Passage:
    schema, where = generation.schema_name, msgspec.structs.asdict(position)
    made = Passage(projection=projection.name, generation=generation.number, passing=Passing.WAITING)
    row = connection.execute(text(_CHECKPOINT.format(schema=schema)), where).first()
    if row is None:
        return made
    made = msgspec.structs.replace(made, next_offset=row.next_offset)
    if row.next_offset <= position.offset:
        standing = "" if row.state == "RUNNING" else f"{row.state}: {row.state_reason or ''}".rstrip(": ")
        return msgspec.structs.replace(made, reason=standing)
    passing, reason = _made_of(connection, projection, schema, where, reading, verdict)
    return msgspec.structs.replace(made, passing=passing, reason=reason, passed_by=row.applied_at)


def _made_of(
    connection: Connection,
    projection: Projection,
    schema: str,
    where: Mapping[str, object],
    reading: Reading | None,
    verdict: Verdict,
) -> tuple[Passing, str]:
    if _exists(connection, f'"{schema}".dropped'):
        order = connection.scalar(text(_DROPPED.format(schema=schema)), where)
        if order is not None:
            return Passing.DROPPED, f"ordered at {Position(Topic.OPERATIONS.value, 0, order)}"
    letter = connection.execute(text(_DEAD_LETTER.format(schema=schema)), where).first()
    if letter is not None:
        return Passing.DEAD_LETTER, f"{letter.path} {letter.reason}".strip()
    if _exists(connection, f'"{schema}".quarantine'):
        held = connection.execute(text(_QUARANTINED.format(schema=schema)), where).first()
        if held is not None:
            behind = (
                ""
                if held.behind is None
                else f" (behind {where['topic']}/{where['partition']}@{held.behind})"
            )
            return Passing.QUARANTINED, f"{held.reason}{behind}"
    if projection.decoding is Decoding.ENVELOPE:
        return Passing.APPLIED, ""
    if reading is Reading.UNKNOWN_TYPE:
        return Passing.SKIPPED, "this build knows no such type"
    if verdict.state == REJECTED:
        return Passing.IGNORED, "its verdict is REJECTED: no fold sees it"
    if verdict.state == DUPLICATE and verdict.of is not None:
        return Passing.IGNORED, f"it repeats {verdict.of}"
    return Passing.APPLIED, ""


def _exists(connection: Connection, table: str) -> bool:
    return connection.scalar(text("select to_regclass(:table)"), {"table": table}) is not None


def not_passed(passages: Sequence[Passage]) -> list[str]:
    """Projections that the event waits for."""
    return [one.projection for one in passages if one.passing is Passing.WAITING]
