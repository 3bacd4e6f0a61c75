"""A trace in sentences, the most important one first. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from api.tracing.asked import Asked
from api.tracing.passages import not_passed
from api.tracing.trace import Counted, Due, GroupPassage, Look, Passage, Passing, Reading
from infra.kafka.admin import Watermarks
from projections.freshness import Freshness
from projections.judged import DUPLICATE, PENDING, REJECTED, Verdict
from schemas.envelope import Position

NO_ENVELOPE: Final = (
    "A dead letter without an envelope cannot be found by its id: search by position (topic/partition@offset), or look "
    "through the dead letters."
)

BY_POSITION: Final = "Only a site admin may look at a position: search by the event's id, and its source."


def never_came(asked: Asked, days: int, fresh: Freshness | None) -> list[str]:
    """Nothing has this id."""
    lines = [f"No event with the id {asked} was received within the last {days} days."]
    if fresh is None or fresh.applied_up_to is None:
        lines.append("The index of events has applied nothing yet: ask again once the projector runs.")
    elif fresh.behind:
        lines.append(
            f"The index of events has applied what came up to {_at(fresh.applied_up_to)}; newer events wait: ask again."
        )
    else:
        lines.append("The index of events has applied all that is on the log.")
    return [*lines, NO_ENVELOPE]


def not_there(position: Position, marks: Watermarks | None) -> list[str]:
    """Nothing lies at this position."""
    place = f"{position.topic}/{position.partition}"
    if marks is None:
        return [f"There is no partition {place}."]
    if position.offset >= marks.end:
        return [f"Nothing was written at {position} yet: the partition ends at {marks.end}."]
    if position.offset < marks.start:
        return [
            f"What stood at {position} is gone: the partition begins at {marks.start}. Search by id: the index keeps what came within 30 days."
        ]
    return [f"The log holds no record at {position}: offsets may be left out, by transactions for example."]


def status(verdict: Verdict, position: Position) -> list[str]:
    """For those who may know the verdict, and no more."""
    return [f"Received at {position}.", verdict_in_words(verdict), "Only a site admin may see more of it."]


def in_words(
    position: Position,
    appended_at: datetime | None,
    look: Look | None,
    verdict: Verdict,
    passages: Sequence[Passage],
    groups: Sequence[GroupPassage],
    counts: Sequence[Counted],
    owed: Sequence[Due],
    repeats: Sequence[Position] = (),
) -> list[str]:
    """What became of an event. ``repeats``: where it came again, and was known."""
    lines = [_received(position, appended_at, look), _reading(look), verdict_in_words(verdict)]
    if len(repeats) == 1:
        lines.append(f"It was published again at {repeats[0]}: that changed nothing.")
    elif repeats:
        lines.append(
            f"It was published {len(repeats)} times more, the last time at {repeats[-1]}: that changed nothing."
        )
    lines += _passed(passages)
    lines += [f"The group {one.group} has not passed it yet." for one in groups if not one.passed]
    if counts:
        total = sum(one.count for one in counts)
        least = "at least " if any(one.at_least for one in counts) else ""
        parts = ", ".join(f"{one.count:,} {one.type}" for one in counts)
        events = "event" if total == 1 else "events"
        if verdict.of is not None:
            was = "was" if total == 1 else "were"
            lines.append(
                f"{least.capitalize()}{total:,} {events} {was} caused by its first publication, {verdict.of}: {parts}."
            )
        else:
            lines.append(f"It caused {least}{total:,} {events}: {parts}.")
    elif look is not None and look.id is not None:
        lines.append("No event names it as its cause.")
    lines += [one.message for one in owed if one.of_this]
    others = [one for one in owed if not one.of_this]
    if others:
        lines.append(
            f"For the same aggregate {len(others)} {'obligation is' if len(others) == 1 else 'obligations are'} open or given up."
        )
    elif not owed:
        lines.append("Nothing is owed for it.")
    return lines


def verdict_in_words(verdict: Verdict) -> str:
    """One sentence."""
    if verdict.state == PENDING:
        return "It is not judged yet: a projection has it before it."
    if verdict.state == REJECTED:
        return f"It was rejected: {verdict.reason or 'no reason was kept'}."
    if verdict.state == DUPLICATE:
        return f"It repeats {verdict.of}, which was accepted: it changed nothing."
    version = "" if verdict.version is None else f", as version {verdict.version} of its aggregate"
    return f"It was accepted{version}."


def _received(position: Position, appended_at: datetime | None, look: Look | None) -> str:
    if appended_at is None:
        return f"Received at {position}."
    line = f"Received at {position}, {_at(appended_at)}"
    if look is None or look.time is None:
        return line + "."
    late = appended_at - look.time
    if late < timedelta(0):
        return f"{line}; it says of itself that it happened {_span(-late)} later."
    return f"{line}, {_span(late)} after it happened."


def _reading(look: Look | None) -> str:
    if look is None:
        return (
            "The log does not hold it any more: it expired with its topic, and only the index remembers it."
        )
    if look.reading is Reading.EVENT:
        return f"It is a valid event, version {look.version} of its type."
    where = f" at {look.path}" if look.path else ""
    kind = "It is no valid event" if look.reading is Reading.DEAD_LETTER else "It is not read"
    return f"{kind}{where}: {look.reason}."


def _passed(passages: Sequence[Passage]) -> list[str]:
    waiting = not_passed(passages)
    lines = []
    if not waiting:
        lines.append(f"All {len(passages)} projections that read its topic have passed it.")
    else:
        lines.append(f"It waits for {', '.join(waiting)}.")
    for one in passages:
        reason = f": {one.reason}" if one.reason else ""
        if one.passing is Passing.QUARANTINED:
            lines.append(f"In {one.projection} it is in quarantine{reason}.")
        elif one.passing is Passing.DEAD_LETTER:
            lines.append(f"For {one.projection} it is a dead letter{reason}.")
        elif one.passing is Passing.DROPPED:
            lines.append(f"From {one.projection} it was dropped{reason}.")
        elif one.passing is Passing.WAITING and one.reason:
            lines.append(f"{one.projection} stands still{reason}.")
    return lines


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d} UTC"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
