"""How the interpreter shares its time in a projector: few collections of garbage, short turns between threads.

A batch makes tens of thousands of objects that live until it is written and refer to nothing in a circle: looking through
them again and again for cycles took half of the reading. And the thread that writes waits for Postgres several times per
megabyte; each time it would wait a whole turn of the thread that decodes.
"""

import gc
import sys
from typing import Final

_ALLOCATIONS: Final = 200_000
"""Net new containers between two looks at the youngest generation; Python's own figure is 700."""
_TURN_S: Final = 0.0005
"""Longest turn of a thread while another one waits; Python's own figure is 5 ms."""


def set_pace() -> None:
    """For the whole process; call it once its modules are loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 10, 10)
    sys.setswitchinterval(_TURN_S)
