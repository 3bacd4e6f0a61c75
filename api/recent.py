"""What this process wrote a moment ago, so that it does not deny what the projections have not seen yet."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

_MOST: Final = 10_000
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values of the newest ``most`` keys, in order of arrival. Threads may share it."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._values: OrderedDict[K, tuple[V, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: K, value: V) -> None:
        """One more value of ``key``; the key that was written longest ago makes room."""
        with self._lock:
            self._values[key] = (*self._values.pop(key, ()), value)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def of(self, key: K) -> tuple[V, ...]:
        """The values of ``key``; empty when it is not remembered."""
        with self._lock:
            return self._values.get(key, ())
