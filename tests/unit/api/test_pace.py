"""How often somebody may do a thing, one at a time and several at once."""

import math

from api.pace import Pace


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_several_at_once_count_as_several() -> None:
    clock = Clock()
    pace = Pace(10, 60.0, clock)
    assert pace.take("ann", 6) == 0
    clock.now_s += 20
    assert pace.take("ann", 4) == 0
    assert pace.take("ben", 10) == 0
    assert pace.take("ann") == 40
    assert pace.take("ann", 7) == 60, "six of them are free in 40 s, the seventh later"
    clock.now_s += 40
    assert pace.take("ann", 6) == 0, "what was refused did not count"
    assert pace.take("ann") == 20


def test_what_is_more_than_ever_allowed_is_never_done() -> None:
    pace = Pace(10, 60.0, Clock())
    assert pace.take("ann", 11) == math.inf
    assert pace.take("ann", 10) == 0
