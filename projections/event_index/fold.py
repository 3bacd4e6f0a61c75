"""Envelopes into rows, ready to be copied."""

from collections.abc import Sequence
from hashlib import blake2b

from projections.event_index.copy_rows import row
from projections.folding import Folding


def said(source: str, event_id: str) -> int:
    """64 bits, signed, that stand for (source, id) in the index; two pairs may share them."""
    # The length of the source keeps ("a", "bc") and ("ab", "c") apart.
    text = f"{len(source)}:{source}{event_id}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def fold(events: Sequence[Folding]) -> list[bytes]:
    """One row per event, in the order of the primary key's first column."""
    return [
        data
        for _, data in sorted(
            (key, row(key, one)) for one in events for key in (said(one.event.source, one.event.id),)
        )
    ]
