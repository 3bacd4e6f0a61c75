"""How often somebody may do a thing: so many times within so many seconds, counted in this process."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable


class Pace:
    """Threads may share it."""

    def __init__(self, times: int, within_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._times = times
        self._within_s = within_s
        self._clock = clock
        self._lock = threading.Lock()
        self._done: dict[str, deque[float]] = {}

    def take(self, who: str, count: int = 1) -> float:
        """0 when ``who`` may do it ``count`` times now, which count as done; else the seconds until then.

        More than are ever allowed at once are never done: infinity.
        """
        now_s = self._clock()
        if count > self._times:
            return math.inf
        with self._lock:
            self._done = {one: done for one, done in self._done.items() if done[-1] > now_s - self._within_s}
            done = self._done.setdefault(who, deque(maxlen=self._times))
            too_many = len(done) + count - self._times
            if too_many > 0 and done[too_many - 1] > now_s - self._within_s:
                return done[too_many - 1] + self._within_s - now_s
            done.extend([now_s] * count)
            return 0.0
