"""Keys that provably have no outcome yet, so that nobody has to look: known to the one worker that fills empty tables.

A (series, repository) lies on one partition (the partitioner is part of the contract), and whoever claimed a partition is the
only one to write what lies on it: the claim waits for a predecessor's transaction, and the compare-and-set fences whatever
comes later. So where the tables were empty after the claim, a key of ours has rows only if we wrote them.

What was prepared to be written is remembered as hashes of keys: two keys of one hash cost a look, never a mistake. The same for keys of a
transaction that was rolled back.
"""

from collections.abc import Sequence
from typing import Final

from projections.series_points.outcomes import KeyChange

MOST_KEYS: Final = 1_000_000
"""Remembered ones: some 100 MB. Beyond it every key is looked up again."""


class Untouched:
    """The memory of one assignment that began with empty tables. For the thread that prepares batches, in their order; the one
    that writes them may call ``forget``."""

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        self._most_keys: Final = most_keys
        self._written: set[int] | None = set()

    def forget(self) -> None:
        """From now on everything is looked up: somebody may write without telling."""
        self._written = None

    def claims(self, hashes: Sequence[int]) -> bool:
        """Whether none of the keys has an outcome, by their hashes; they are remembered then."""
        written = self._written
        if written is None or not written.isdisjoint(hashes):
            return False
        if len(hashes) > 1 and len(set(hashes)) != len(hashes):
            return False
        if len(written) + len(hashes) > self._most_keys:
            self.forget()
            return False
        written.update(hashes)
        return True

    def split(self, changes: Sequence[KeyChange]) -> tuple[list[KeyChange], list[KeyChange]]:
        """(those whose keys have no outcome, those that have to be looked up), and remember all of them.

        No key stands in ``changes`` twice.
        """
        written = self._written
        if written is None or len(written) + len(changes) > self._most_keys:
            self.forget()
            return [], list(changes)
        hashes = [hash(change.key) for change in changes]
        if written.isdisjoint(hashes):
            new, known = list(changes), []
        else:
            new = [change for change, one in zip(changes, hashes, strict=True) if one not in written]
            known = [change for change, one in zip(changes, hashes, strict=True) if one in written]
        written.update(hashes)
        return new, known
