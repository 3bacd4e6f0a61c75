"""How much of a lane may be in flight: about two seconds of work, measured (DESIGN section 6). Pure."""

from typing import Final

import msgspec

WORK_IN_FLIGHT_S: Final = 2.0
PER_HANDLER: Final = 4
"""At least so many requests per handler, however slow they are."""
FIRST_GUESS_PER_S: Final = 8.0
"""Requests per second and handler, until something was measured."""
_MEASURE_S: Final = 0.5
_SMOOTHING: Final = 0.5


class Window(msgspec.Struct):
    """Requests in flight of one lane, sized by the rate at which they end."""

    rate_per_s: float | None = None
    _ended: int = 0
    _since: float | None = None

    def size(self, handlers: int) -> int:
        """How many requests may be in flight over ``handlers`` handlers."""
        rate = FIRST_GUESS_PER_S * handlers if self.rate_per_s is None else self.rate_per_s
        return max(PER_HANDLER * handlers, round(WORK_IN_FLIGHT_S * rate))

    def observe(self, ended: int, *, in_flight: int, now: float) -> None:
        """Say how many requests ended since the last call; ``in_flight`` are those still going on at ``now`` (s)."""
        if self._since is None or (in_flight == 0 and ended == 0):
            # Nothing was going on: this stretch of time says nothing about the rate.
            self._since, self._ended = now, 0
            return
        self._ended += ended
        passed_s = now - self._since
        if passed_s < _MEASURE_S:
            return
        measured = self._ended / passed_s
        self.rate_per_s = (
            measured
            if self.rate_per_s is None
            else self.rate_per_s + _SMOOTHING * (measured - self.rate_per_s)
        )
        self._since, self._ended = now, 0
