"""What projections put aside, as its pages show it."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

from api.commands.hex_dump import hex_lines

PATH: Final = "/operations/dead-letters"
SHOWN_BYTES: Final = 4_096
"""Of a value as hex."""
_KINDS: Final = {"DEAD_LETTER": "no event", "QUARANTINED": "quarantined"}
_OUTCOMES: Final = {
    "RUNNING": ("is being worked on", "would go on", "waiting"),
    "FOLDED": ("folded", "would be folded", "ready"),
    "STILL_FAILS": ("still fails", "would still fail", "failed"),
    "NOTHING_WAITS": ("nothing was waiting", "nothing waits", "empty"),
    "DROPPED": ("dropped", "would be dropped", "ready"),
    "REFUSED": ("refused", "would be refused", "failed"),
}


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Field names as in the schema."""


class Entry(_Answer, frozen=True, kw_only=True):
    """``DeadLetter``."""

    id: str
    kind: str
    projection: str
    position: str
    aggregate: str
    append_time: datetime
    reason: str
    path: str
    size_bytes: int
    waiting: int
    behind: str | None
    topic: str = ""
    partition: int = 0

    @property
    def words(self) -> str:
        """Its kind, for people."""
        return _KINDS[self.kind] if self.behind is None else "waits behind another"

    @property
    def quarantined(self) -> bool:
        return self.kind == "QUARANTINED"

    @property
    def address(self) -> str:
        """Its own page."""
        return f"{PATH}/{quote(self.id, safe='')}"


class PageInfo(_Answer, frozen=True, kw_only=True):
    has_next_page: bool
    end_cursor: str | None


class Connection(_Answer, frozen=True, kw_only=True):
    """``DeadLetterConnection``."""

    total_count: int
    page_info: PageInfo
    nodes: tuple[Entry, ...]


class Decision(_Answer, frozen=True, kw_only=True):
    """``OperatorDecision``."""

    position: str
    kind: str
    projection: str
    reason: str
    ordered_by: str
    ordered_at: datetime
    items: int | None
    dry_run: bool

    @property
    def words(self) -> str:
        """What was decided."""
        verb = {"redrive": "redrive", "drop": "drop", "rebuild": "rebuild", "swap": "swap"}[self.kind]
        number = "" if self.items is None else f" {self.items:,}"
        return f"{verb}{number}{' (dry run)' if self.dry_run else ''}"


class Decisions(_Answer, frozen=True, kw_only=True):
    nodes: tuple[Decision, ...]


class ListAnswer(_Answer, frozen=True, kw_only=True):
    """``documents/dead_letters.graphql``."""

    dead_letters: Connection
    operator_decisions: Decisions


class Bytes(_Answer, frozen=True, kw_only=True):
    """``Bytes``."""

    base64: str
    text: str | None

    @property
    def content(self) -> bytes:
        return base64.b64decode(self.base64)

    @property
    def hex(self) -> Iterator[str]:
        """The first bytes, sixteen to the line."""
        return hex_lines(self.content[:SHOWN_BYTES])

    @property
    def shown(self) -> str:
        """As text where it is text."""
        return self.text if self.text is not None else repr(self.content)


class Header(_Answer, frozen=True, kw_only=True):
    name: str
    value: Bytes


class Record(_Answer, frozen=True, kw_only=True):
    """``DeadLetterRecord``."""

    entry: Entry
    key: Bytes | None
    value: Bytes | None
    headers: tuple[Header, ...]
    trace: str | None
    waiting_positions: tuple[str, ...]


class RecordAnswer(_Answer, frozen=True, kw_only=True):
    """``documents/dead_letter.graphql``."""

    dead_letter: Record | None


class Outcome(_Answer, frozen=True, kw_only=True):
    """``OperatorOutcome``."""

    state: str
    aggregate: str | None
    position: str | None
    folded: int
    waiting: int
    reason: str
    trace: str | None

    def words(self, dry_run: bool) -> str:
        """What became of it, or would."""
        return _OUTCOMES[self.state][1 if dry_run else 0]

    @property
    def mark(self) -> str:
        """The class of its sign."""
        return _OUTCOMES[self.state][2]


class Order(_Answer, frozen=True, kw_only=True):
    """``OperatorOrder``."""

    position: str | None
    dry_run: bool
    done: bool
    outcomes: tuple[Outcome, ...]


class OrderAnswer(_Answer, frozen=True, kw_only=True):
    """What the mutations answer."""

    order: Order


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the log, with an entry for each projection that put it aside."""

    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """What is the same of all of them stands here."""
        return self.entries[0]

    @property
    def reasons(self) -> Sequence[tuple[str, str]]:
        """Each (path, reason) once."""
        return list(dict.fromkeys((one.path, one.reason) for one in self.entries))

    @property
    def waiting(self) -> int:
        return max(one.waiting for one in self.entries)


def rows_of(entries: Iterable[Entry]) -> list[Row]:
    """One row a record, in the order in which the records come first."""
    found: dict[str, list[Entry]] = {}
    for one in entries:
        found.setdefault(one.position, []).append(one)
    return [Row(entries=tuple(every)) for every in found.values()]


def dropped_together(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """Positions of those that can never be folded, by projection: an order is about one."""
    found: dict[str, list[str]] = {}
    for one in entries:
        if not one.quarantined:
            found.setdefault(one.projection, []).append(one.position)
    return found


def merged(orders: Sequence[Order]) -> Order | None:
    """Several orders as one; None of none."""
    if not orders:
        return None
    return Order(
        position=orders[0].position,
        dry_run=orders[0].dry_run,
        done=all(one.done for one in orders),
        outcomes=tuple(outcome for one in orders for outcome in one.outcomes),
    )


def filter_of(given: Mapping[str, str]) -> dict[str, object]:
    """A ``DeadLetterFilter`` from the fields of the form; what is empty is left out."""
    found: dict[str, object] = {}
    for name in ("topic", "aggregate", "reason", "path"):
        if value := given.get(name, "").strip():
            found[name] = value
    if projection := given.get("projection", "").strip():
        found["projections"] = [projection]
    if (kind := given.get("kind", "")) in _KINDS:
        found["kind"] = kind
    if given.get("waiting"):
        found["waiting"] = True
    return found
