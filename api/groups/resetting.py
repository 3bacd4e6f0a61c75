"""Setting a group's offsets: refused while somebody is in it, shown before and after."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from api.groups.kinds import ResetRefused, refuse_projection, warnings
from api.groups.targets import Move, To, Wish, moves
from infra.kafka.admin import GroupDescription, Partition, Watermarks


class Cluster(Protocol):
    """What is needed of ``infra.kafka.admin.KafkaAdmin``."""

    def describe_groups(self) -> dict[str, GroupDescription]: ...
    def group_offsets(self, group: str) -> dict[Partition, int]: ...
    def watermarks(self, topic: str) -> dict[int, Watermarks]: ...
    def offset_at(self, topic: str, timestamp_ms: int) -> dict[int, int | None]: ...
    def set_group_offsets(self, group: str, offsets: Mapping[Partition, int]) -> None: ...


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a reset would do; ``warnings`` in words."""

    group: str
    moves: list[Move]
    warnings: list[str]

    @property
    def changes(self) -> bool:
        return any(move.changes for move in self.moves)


def plan(cluster: Cluster, group: str, topic: str, partitions: Sequence[int], wish: Wish) -> Plan:
    """Look only. ``partitions`` empty: all of the topic.

    Raises ResetRefused (a projection's group, nobody's group, a live one, no such partition), TopicMissing, KafkaError.
    """
    refuse_projection(group)
    there = cluster.describe_groups()
    found = there.get(group)
    if found is None:
        raise ResetRefused(
            f"there is no consumer group {group}",
            remedy="millstream groups list shows those that there are"
            if there
            else "nobody reads in a group yet",
        )
    _refuse_live(found)
    every = cluster.watermarks(topic)
    missing = sorted(set(partitions) - every.keys())
    if missing:
        raise ResetRefused(
            f"{topic} has no partition {missing[0]}: there are 0 to {len(every) - 1}",
            remedy="name one of these, or the topic alone for all of them",
        )
    wanted = set(partitions) or set(every)
    marks = {(topic, number): at for number, at in every.items() if number in wanted}
    at_time: dict[Partition, int | None] = {}
    if wish.to is To.TIME and wish.time is not None:
        told = cluster.offset_at(topic, int(wish.time.timestamp() * 1000))
        at_time = {(topic, number): offset for number, offset in told.items()}
    planned = moves(wish, marks, cluster.group_offsets(group), at_time)
    again = sum(one.again(marks[one.place]) for one in planned)
    left_out = sum(one.left_out(marks[one.place]) for one in planned)
    return Plan(group=group, moves=planned, warnings=warnings(group, topic, again, left_out))


def carry_out(cluster: Cluster, planned: Plan) -> dict[Partition, int]:
    """Set them; what is committed then, as the broker says. Raises GroupBusy when somebody has come meanwhile."""
    offsets = {one.place: one.after for one in planned.moves if one.changes and one.after is not None}
    if offsets:
        cluster.set_group_offsets(planned.group, offsets)
    return cluster.group_offsets(planned.group)


def _refuse_live(group: GroupDescription) -> None:
    if not group.is_read:
        return
    shown = [f"{one.client_id} on {one.host}" for one in group.members[:5]]
    more = len(group.members) - len(shown)
    if more > 0:
        shown.append(f"{more} more")
    who = ", ".join(shown) if shown else f"members that the coordinator does not name (it is {group.state})"
    raise ResetRefused(
        f"the group {group.group} is live: {who}",
        remedy="stop them first: what they commit would undo the reset at once; a killed member is forgotten when its session ends",
    )
