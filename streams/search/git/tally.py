"""Who counts where: tree entries by class of path, blobs by the slots in which they stand."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

from streams.search.expressions import Expression
from streams.search.git.blobs import BlobRequest
from streams.search.git.trees import Entry
from streams.search.plan import QueryPlan
from streams.search.regex import TextRegex


class PathClass(NamedTuple):
    """Paths of which all queries ask the same. ``fixed`` per query; ``contents``: (query, expression) pairs.

    ``wanted``: bit mask of the expressions.
    """

    fixed: tuple[int, ...]
    contents: tuple[tuple[int, int], ...]
    wanted: int
    any_size: bool

    @property
    def idle(self) -> bool:
        """No query looks at these paths."""
        return not self.contents and not any(self.fixed)


class BlobUse:
    """Where one blob stands: (slot, class, +1 or -1) for each path that appears or goes.

    ``path_hash`` of the first path met keeps the versions of a file together: git stores them as differences.
    ``requested``: the bits of ``wanted`` that were handed out for reading.
    """

    __slots__ = ("any_size", "changes", "path_hash", "requested", "wanted")

    def __init__(self, path_hash: int) -> None:
        self.wanted = 0
        self.requested = 0
        self.any_size = False
        self.path_hash = path_hash
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
        self._fresh: dict[bytes, BlobUse] = {}

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """In the order of their bits; later entries may add more at the end."""
        return tuple(self._expression_ids)

    def add(self, entries: Iterable[Entry], first_slot: int = 0) -> None:
        """Take in changes; their slots are counted from ``first_slot``. Lets through what reading them raises."""
        by_path, class_of_path, uses, fresh = self._by_path, self._class_of_path, self.uses, self._fresh
        for slot, sign, oid, path in entries:
            slot += first_slot
            key = path if by_path else b""
            class_id = class_of_path.get(key)
            if class_id is None:
                class_id = class_of_path[key] = self._classify(path)
            changes = self.class_changes[class_id]
            changes[slot] = changes.get(slot, 0) + sign
            path_class = self.classes[class_id]
            if not path_class.wanted:
                continue
            use = uses.get(oid)
            if use is None:
                use = uses[oid] = fresh[oid] = BlobUse(crc32(path))
            if path_class.wanted & ~use.wanted or path_class.any_size > use.any_size:
                use.wanted |= path_class.wanted
                use.any_size |= path_class.any_size
                fresh[oid] = use
            use.changes.append((slot, class_id, sign))

    def take_requests(self, shares: int) -> list[list[BlobRequest]]:
        """What is wanted and was not handed out before, in shares of whole files."""
        divided: list[list[BlobRequest]] = [[] for _ in range(shares)]
        for oid, use in self._fresh.items():
            wanted = use.wanted & ~use.requested
            if wanted:
                divided[use.path_hash % shares].append(BlobRequest(oid, wanted, use.any_size))
                use.requested = use.wanted
        self._fresh.clear()
        return [share for share in divided if share]

    def _classify(self, path: bytes) -> int:
        fixed: list[int] = []
        contents: list[tuple[int, int]] = []
        wanted = 0
        for index, plan in enumerate(self._plans):
            rule = plan.on_path(path)
            fixed.append(rule.fixed)
            if rule.content is not None:
                expression = self._expression_ids.setdefault(rule.content, len(self._expression_ids))
                contents.append((index, expression))
                wanted |= 1 << expression
        any_size = any(pattern.matches(path) for pattern in self._large_files)
        path_class = PathClass(tuple(fixed), tuple(contents), wanted, any_size)
        class_id = self._class_ids.setdefault(path_class, len(self.classes))
        if class_id == len(self.classes):
            self.classes.append(path_class)
            self.class_changes.append({})
        return class_id
