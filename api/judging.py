"""Waiting for the verdict on what was published, and for the projections that the answer reads (DESIGN sections 1 and 9)."""

import time
from collections.abc import Collection

import msgspec

from projections.judged import Verdict, owner_of, verdict
from projections.reading import Reader
from schemas.envelope import Position


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """``visible``: every projection that was asked for has passed the event, so that a read shows what it did."""

    verdict: Verdict
    visible: bool


def wait_judged(reader: Reader, position: Position, projections: Collection[str], timeout_s: float) -> Judged:
    """The verdict once the topic's owner has it, and ``projections`` have passed it, or what is so when the time is over."""
    deadline_s = time.monotonic() + timeout_s
    owner = owner_of(position.topic)
    names = [
        *([owner] if owner is not None else []),
        *(name for name in sorted(projections) if name != owner),
    ]
    visible = all(
        reader.wait_for(name, [position], max(0.0, deadline_s - time.monotonic())) for name in names
    )
    with reader.snapshot(()) as snapshot:
        return Judged(verdict=verdict(snapshot.connection, position), visible=visible)
