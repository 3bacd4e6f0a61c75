"""Who counts where: tree entries by class of path, blobs by the slots in which they stand."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from streams.search.expressions import Expression
from streams.search.git.blobs import BlobRequest
from streams.search.git.trees import Entry
from streams.search.plan import QueryPlan
from streams.search.regex import TextRegex


class PathClass(NamedTuple):
    """Paths of which all queries ask the same. ``fixed`` per query; ``contents``: (query, expression) pairs."""

    fixed: tuple[int, ...]
    contents: tuple[tuple[int, int], ...]
    any_size: bool

    @property
    def wanted(self) -> int:
        """Bit mask of the expressions."""
        mask = 0
        for _, expression in self.contents:
            mask |= 1 << expression
        return mask

    @property
    def idle(self) -> bool:
        """No query looks at these paths."""
        return not self.contents and not any(self.fixed)


class BlobUse:
    """Where one blob stands: (slot, class) -> how many paths more (or fewer) than in the slot before."""

    __slots__ = ("any_size", "changes", "wanted")

    def __init__(self) -> None:
        self.wanted = 0
        self.any_size = False
        self.changes: list[tuple[int, int, int]] = []


class Tally:
    """Fed with entries; then knows which blobs are wanted and how each one's value enters the frames."""

    def __init__(self, plans: Sequence[QueryPlan], large_files: Sequence[str] = ()) -> None:
        self._plans = plans
        self._large_files = [TextRegex(pattern, case_sensitive=True) for pattern in large_files]
        self._by_path = bool(self._large_files) or any(plan.reads_paths for plan in plans)
        self._class_of_path: dict[bytes, int] = {}
        self._class_ids: dict[PathClass, int] = {}
        self.classes: list[PathClass] = []
        self._expression_ids: dict[Expression, int] = {}
        self.class_changes: list[dict[int, int]] = []
        self.uses: dict[bytes, BlobUse] = {}

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(self._expression_ids)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in changes. Lets through what reading them raises."""
        by_path, class_of_path, uses = self._by_path, self._class_of_path, self.uses
        for slot, sign, oid, path in entries:
            key = path if by_path else b""
            class_id = class_of_path.get(key)
            if class_id is None:
                class_id = class_of_path[key] = self._classify(path)
            changes = self.class_changes[class_id]
            changes[slot] = changes.get(slot, 0) + sign
            path_class = self.classes[class_id]
            if path_class.contents:
                use = uses.get(oid)
                if use is None:
                    use = uses[oid] = BlobUse()
                use.wanted |= path_class.wanted
                use.any_size |= path_class.any_size
                use.changes.append((slot, class_id, sign))

    def requests(self) -> list[BlobRequest]:
        """Every wanted blob once, in the order met."""
        return [BlobRequest(oid, use.wanted, use.any_size) for oid, use in self.uses.items()]

    def _classify(self, path: bytes) -> int:
        fixed: list[int] = []
        contents: list[tuple[int, int]] = []
        for index, plan in enumerate(self._plans):
            rule = plan.on_path(path)
            fixed.append(rule.fixed)
            if rule.content is not None:
                expression = self._expression_ids.setdefault(rule.content, len(self._expression_ids))
                contents.append((index, expression))
        any_size = any(pattern.matches(path) for pattern in self._large_files)
        path_class = PathClass(tuple(fixed), tuple(contents), any_size)
        class_id = self._class_ids.setdefault(path_class, len(self.classes))
        if class_id == len(self.classes):
            self.classes.append(path_class)
            self.class_changes.append({})
        return class_id
