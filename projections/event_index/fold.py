"""Envelopes into rows, ready to be copied."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeAlias

from projections.event_index.copy_rows import row
from projections.folding import Folding
from schemas.ids import MAX_ID
from schemas.topics import KEYED_BY_REPOSITORY

KeyedRow: TypeAlias = tuple[int, bytes]
"""The first column of the primary key, and the row."""


def said(event_id: str) -> int:
    """64 bits, signed, that stand for an event's id in the index; two ids, and two sources of one id, may share them.

    Of the id alone, since an event names its cause by id, without the source.
    """
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "big", signed=True)


def repository_of(topic: str, key: str) -> int:
    """The repository that a record is about, by which it is hidden; 0 where its topic has other keys.

    A key that is no id there names no repository that anybody could have permissions for.
    """
    if topic not in KEYED_BY_REPOSITORY or not (key.isascii() and key.isdigit() and len(key) < 17):
        return 0
    return min(int(key), MAX_ID)


def fold(events: Sequence[Folding]) -> list[bytes]:
    """One row per event, in order."""
    return in_order(keyed_rows(events))


def keyed_rows(events: Sequence[Folding]) -> list[KeyedRow]:
    """One per event."""
    return [
        (
            key,
            row(key, _cause(one.event.causation_id), repository_of(one.position.topic, one.event.key), one),
        )
        for one in events
        for key in (said(one.event.id),)
    ]


def in_order(rows: list[KeyedRow]) -> list[bytes]:
    """Rows alone, in the order of the primary key's first column."""
    return [data for _, data in sorted(rows)]


def _cause(causation_id: str | None) -> int | None:
    return said(causation_id) if causation_id else None
