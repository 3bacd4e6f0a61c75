"""From blobs to frames: every blob's value enters each frame in which it stands, as often as it stands there."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from streams.search.git.blobs import BlobValues
from streams.search.git.tally import Tally
from streams.search.protocol import Reason
from streams.search.scanning import Values


class Sums:
    """Per query and slot: the value, and why it is incomplete."""

    def __init__(
        self,
        tally: Tally,
        shares: Sequence[BlobValues],
        slots: int,
        resets: Collection[int],
        deadlines: Sequence[float | None],
    ) -> None:
        queries = len(tally.classes[0].fixed) if tally.classes else 0
        self._resets = resets
        files = [0] * slots
        values = [[0] * slots for _ in range(queries)]
        unknown: dict[tuple[int, Reason], list[int]] = {}
        captures: dict[tuple[int, bytes], list[int]] = {}
        for path_class, changes in zip(tally.classes, tally.class_changes, strict=True):
            for slot, sign in changes.items():
                if not path_class.idle:
                    files[slot] += sign
                for query, fixed in enumerate(path_class.fixed):
                    values[query][slot] += sign * fixed
        for oid, found, is_large in _found(shares):
            for slot, class_id, sign in tally.uses[oid].changes:
                path_class = tally.classes[class_id]
                if is_large and not path_class.any_size:
                    continue
                for query, expression in path_class.contents:
                    if expression >= len(found.counts):
                        continue  # met after this share was read; another share has it
                    values[query][slot] += sign * found.counts[expression]
                    for of_expression, captured, count in found.captures:
                        if of_expression == expression:
                            row = captures.setdefault((query, captured), [0] * slots)
                            row[slot] += sign * count
        for oid, reason, only in _unknown(shares, deadlines):
            for slot, class_id, sign in tally.uses[oid].changes:
                for query, _ in tally.classes[class_id].contents:
                    if only is None or only == query:
                        unknown.setdefault((query, reason), [0] * slots)[slot] += sign
        self.files = self._running(files)
        self._values = [self._running(row) for row in values]
        self._captures = {key: self._running(row) for key, row in captures.items()}
        self._unknown = {key: self._running(row) for key, row in unknown.items()}

    def value(self, query: int, slot: int) -> int:
        return self._values[query][slot] if self._values else 0

    def captures(self, query: int, slot: int | None) -> Mapping[str, int]:
        """How often each captured value stands in the frame; only what is there."""
        if slot is None:
            return {}
        return {
            captured.decode(errors="replace"): row[slot]
            for (of_query, captured), row in self._captures.items()
            if of_query == query and row[slot]
        }

    def reason(self, query: int, slot: int) -> Reason | None:
        for (of_query, reason), row in self._unknown.items():
            if of_query == query and row[slot]:
                return reason
        return None

    def _running(self, changes: list[int]) -> list[int]:
        total = 0
        sums: list[int] = []
        for slot, change in enumerate(changes):
            total = change if slot in self._resets else total + change
            sums.append(total)
        return sums


def _found(shares: Sequence[BlobValues]) -> Iterator[tuple[bytes, Values, bool]]:
    """(blob, what it counts, is it larger than the limit)."""
    for share in shares:
        for oid, values in share.values.items():
            yield oid, values, oid in share.too_large


def _unknown(
    shares: Sequence[BlobValues], deadlines: Sequence[float | None]
) -> Iterator[tuple[bytes, Reason, int | None]]:
    """(blob, why it is not known, the one query that this is about or None for all)."""
    for share in shares:
        for oid, reason in share.unknown.items():
            yield oid, reason, None
        for query, deadline in enumerate(deadlines):
            if deadline is None:
                continue
            for oid in share.unread_at(deadline):
                if oid not in share.unknown:
                    yield oid, "timeout", query
