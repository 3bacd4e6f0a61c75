"""SIGTERM and SIGINT as an exception in the main thread, so that every ``with`` on the way stops what it started."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequested(BaseException):
    """Someone asked this process to end. Not an Exception, like KeyboardInterrupt: nothing may take it for an error."""


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Raise :class:`StopRequested` at the first stop signal; later ones are ignored, so that stopping is not cut short.

    Only in the main thread. The former handlers are set again afterwards.
    """
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise StopRequested

    former = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
