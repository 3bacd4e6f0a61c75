"""Whose a consumer group is, and what that means for who wants to move it. Pure."""

from enum import StrEnum
from typing import Final

from infra.topics import HANDS_APP, HEADS_APP, PROJECTION_GROUPS
from schemas.errors import MillstreamError
from schemas.topics import Topic
from streams.obligations.registry import OBLIGATIONS

_AGENTS: Final = frozenset((HANDS_APP, HEADS_APP))


class Kind(StrEnum):
    """Who reads in a group."""

    PROJECTION = "projection"
    AGENTS = "agents"
    OTHER = "other"


class ResetRefused(MillstreamError):
    """The offsets of this group are not set, at least not now."""


def kind_of(group: str) -> Kind:
    """By its name."""
    if group.startswith(PROJECTION_GROUPS):
        return Kind.PROJECTION
    return Kind.AGENTS if group in _AGENTS else Kind.OTHER


def refuse_projection(group: str) -> None:
    """Raises ResetRefused for the group of a projection."""
    if kind_of(group) is Kind.PROJECTION:
        name = group.removeprefix(PROJECTION_GROUPS).partition(".")[0]
        raise ResetRefused(
            f"{group} is the group of a projection: the checkpoint rows in the database say where it reads, and its offsets in Kafka are advice alone",
            remedy=f"millstream projection rebuild {name}",
        )


def owing_on(group: str, topic: str) -> list[str]:
    """What agents of the group owe for events of this topic, in words."""
    return [
        f"{' and '.join(one.agents)} ({one.name.value})"
        for one in OBLIGATIONS
        if one.group == group and one.topic == topic
    ]


def warnings(group: str, topic: str, again: int, left_out: int) -> list[str]:
    """What moving the offsets of our agents does: what is done twice, and what is not done."""
    if kind_of(group) is not Kind.AGENTS:
        return []
    found: list[str] = []
    owing = owing_on(group, topic)
    who = ", ".join(owing) if owing else "its agents"
    if again:
        text = f"{again:,} records will be worked on again by {who}"
        if topic in (Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND):
            text += (
                ": what they ask for is counted once more; the results are absorbed, the time is spent twice"
            )
        else:
            text += ": events they cause have the same ids, so nothing is counted twice on a chart; clones are looked at again, and what was planned since may be asked for once more"
        found.append(text + ".")
    if left_out:
        text = f"{left_out:,} records will not be worked on"
        if owing:
            text += f"; what is owed for them by {who} is asked for again by the reconciler once its deadline has passed"
        found.append(text + ".")
    return found
