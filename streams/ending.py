"""The one way an agent's process ends in trouble: say why, show every stack, and go without another word.

Never through Faust's shutdown: that acknowledges and commits the batch in hand, and so loses it (DESIGN
section 6). ``os._exit`` commits nothing, so the batch comes again.
"""

import faulthandler
import logging
import os
import sys
from typing import Final, NoReturn

import structlog

EXIT_BUG: Final = 70
"""Exit code of a bug or a lost slot (EX_SOFTWARE of sysexits.h)."""

_log = structlog.get_logger()


def end_process(reason: str, error: BaseException | None = None) -> NoReturn:
    """Log ``reason``, dump the stacks of all threads to stderr, and exit with code 70 at once."""
    _log.critical("process_dies", reason=reason, exc_info=error)
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(EXIT_BUG)
