"""What a fold reads: an event and its place on the log. Apart from all clients, as the folds are."""

from datetime import datetime

import msgspec

from schemas.envelope import Event, Position


class Folding(msgspec.Struct, frozen=True, gc=False):
    """One event as a fold sees it, with its place on the log and the broker's append time."""

    event: Event
    position: Position
    appended_at: datetime
