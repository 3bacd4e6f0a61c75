"""Struct classes made ready before threads share them.

msgspec (0.22) learns a class's fields at its first use, and a second thread that comes meanwhile reads what is half
written: the process dies by SIGSEGV. So every process learns its classes once, while it has one thread.
"""

from collections.abc import Iterator

import msgspec


def learn_all() -> int:
    """Learn every struct class that is imported by now; how many. Call it before the first thread is started."""
    return sum(learn(found) for found in _below(msgspec.Struct))


def learn(found: type[msgspec.Struct]) -> bool:
    """Learn one class and what its fields hold; False for one that cannot come from JSON: nobody will decode it."""
    try:
        msgspec.json.Decoder(found)
    except (TypeError, NameError):
        return False
    return True


def _below(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for found in base.__subclasses__():
        yield found
        yield from _below(found)
