"""What people see of an insight's backfill, and what they may decide about it now."""

from collections.abc import Sequence

import msgspec

from api.reasons import Reasons

_ENDED = frozenset({"COMPLETED", "FAILED"})


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A button. ``asks``: whether a page asks first; ``grave``: whether what it does cannot be undone."""

    name: str
    label: str
    asks: bool = False
    grave: bool = False


PAUSE = Action(name="pause", label="Pause")
RESUME = Action(name="resume", label="Resume")
CANCEL = Action(name="cancel", label="Cancel…", asks=True)
RETRY = Action(name="retry", label="Count the rest")
FRONT = Action(name="front", label="To the front")
BACK = Action(name="back", label="To the back")
DELETE = Action(name="delete", label="Delete…", asks=True, grave=True)
ACTIONS = {one.name: one for one in (PAUSE, RESUME, CANCEL, RETRY, FRONT, BACK, DELETE)}


class Backfill(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``BackfillQueueStatus`` as the schema answers it. ``errors``: ``reason: how many``."""

    state: str
    is_paused: bool = False
    queue_position: int | None = None
    percent_complete: int | None = None
    errors: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether something of it waits or is counted."""
        return self.state not in _ENDED

    def without_what_was_mended(self, failed_cells: int) -> "Backfill":
        """The same, but for failures whose cells were all counted since."""
        if failed_cells or self.is_open:
            return self
        return msgspec.structs.replace(self, state="COMPLETED", errors=())

    @property
    def words(self) -> str:
        """Where it stands, in a few words; empty where the state of the insight says it all."""
        if self.is_open and self.is_paused:
            return "nothing more is counted until it is resumed"
        if self.state == "QUEUED":
            return f"waits to be counted{_place(self.queue_position)}"
        if self.state == "PROCESSING" and self.queue_position is not None:
            return f"being counted{_place(self.queue_position)}"
        if self.state == "FAILED":
            return "not all could be counted"
        return ""

    @property
    def problems(self) -> Sequence[str]:
        """Why requests failed, and how many, in words."""
        return [_in_words(error) for error in self.errors]

    @property
    def actions(self) -> Sequence[Action]:
        """What makes sense now, in the order of the page."""
        found: list[Action] = []
        if self.is_open and self.state != "NEW":
            found += [RESUME if self.is_paused else PAUSE, FRONT, BACK, CANCEL]
        if self.errors:
            found.append(RETRY)
        return [*found, DELETE]


def _in_words(error: str) -> str:
    reason, _, amount = error.partition(":")
    return f"{Reasons.in_words(reason.strip())}: {amount.strip()}" if amount else Reasons.in_words(reason)


def _place(position: int | None) -> str:
    if position is None:
        return ""
    return ", next in line" if position == 1 else f", {position - 1:,} before it"
