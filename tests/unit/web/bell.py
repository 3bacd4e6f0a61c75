"""A signal of moves that tests ring."""

import threading


class Bell:
    """``projections.reading.Reader`` as far as the live hub knows it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._moves = 0

    @property
    def moves(self) -> int:
        with self._changed:
            return self._moves

    def wait_moved(self, seen: int, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._moves != seen, timeout=timeout_s)

    def ring(self) -> None:
        """A projection moved."""
        with self._changed:
            self._moves += 1
            self._changed.notify_all()
