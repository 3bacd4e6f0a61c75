"""How fresh what was read is: a time up to which everything is applied, and whether something is not (DESIGN 9).

The newest event applied says nothing about a partition that stands still, and the oldest says nothing about one in
which nothing happens. What tells them apart are the ends of the log, which the projectors look at every few seconds
and leave in their heartbeats, so that readers need no Kafka.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec
from sqlalchemy import Connection, func, select

from infra.postgres.runtime import heartbeats

HEARTBEAT_PREFIX: Final = "projector-"
HEARTBEAT_VALID_S: Final = 15
"""A projector beats every five seconds; without one for this long it is held for dead."""

Ends = Mapping[tuple[str, int], int]
"""(topic, partition) -> the next offset to be written, when somebody last looked."""


class Applied(Protocol):
    """One partition of one projection: the next offset to read, and the append time of the last record applied."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def next_offset(self) -> int: ...
    @property
    def append_time(self) -> datetime | None: ...


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """``behind``: the log held more at the last look (None: nobody looked). Then everything appended until
    ``applied_up_to`` is applied; otherwise it is the newest append time applied. None: nothing is yet."""

    applied_up_to: datetime | None
    behind: bool | None


def freshness(positions: Iterable[Applied], ends: Ends) -> Freshness:
    """Of one projection, or of several together. Pure."""
    every = list(positions)
    late = [at for at in every if at.next_offset < ends.get((at.topic, at.partition), 0)]
    if late:
        times = [at.append_time for at in late if at.append_time is not None]
        # A partition of which nothing is applied yet: there is no time until which all is.
        return Freshness(applied_up_to=min(times) if len(times) == len(late) else None, behind=True)
    looked = all((at.topic, at.partition) in ends for at in every)
    newest = max((at.append_time for at in every if at.append_time is not None), default=None)
    return Freshness(applied_up_to=newest, behind=False if looked else None)


def log_ends(connection: Connection) -> Ends:
    """The newest ends that projectors which live have seen; empty when none does."""
    found: dict[tuple[str, int], int] = {}
    beats = connection.execute(
        select(heartbeats.c.details).where(
            heartbeats.c.process.startswith(HEARTBEAT_PREFIX),
            heartbeats.c.seen_at > func.clock_timestamp() - timedelta(seconds=HEARTBEAT_VALID_S),
        )
    )
    for (details,) in beats:
        for topic, ends in details.get("ends", {}).items():
            for number, end in ends.items():
                place = (topic, int(number))
                found[place] = max(found.get(place, 0), int(end))
    return found
