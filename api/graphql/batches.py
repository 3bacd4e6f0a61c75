"""Many small questions, few statements: keys are announced when a list is made, and loaded together when one is needed."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Batch(Generic[K, V]):
    """One kind of question within one snapshot. Resolvers run one after the other, so there is nothing to lock."""

    def __init__(self, load: Callable[[Collection[K]], Mapping[K, V]]) -> None:
        self._load = load
        self._loaded: dict[K, V | None] = {}
        self._announced: dict[K, None] = {}

    def announce(self, keys: Iterable[K]) -> None:
        """These will be asked for, perhaps: they join the next load."""
        self._announced.update((key, None) for key in keys if key not in self._loaded)

    def get(self, key: K) -> V | None:
        """The answer for ``key``, None when there is none; loads it with all that were announced."""
        if key not in self._loaded:
            self._announced[key] = None
            wanted = list(self._announced)
            self._announced.clear()
            found = self._load(wanted)
            self._loaded.update((each, found.get(each)) for each in wanted)
        return self._loaded[key]

    def of(self, keys: Collection[K]) -> list[V]:
        """The answers for those of ``keys`` that have one, in their order."""
        self.announce(keys)
        found = [self.get(key) for key in keys]
        return [value for value in found if value is not None]
