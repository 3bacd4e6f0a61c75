"""Which errors go away by themselves. Everything else is a bug (DESIGN section 6)."""

import errno
from concurrent.futures import BrokenExecutor
from typing import Final

import psycopg
import sqlalchemy.exc

from streams.agent import Transient

_TRANSIENT: Final = (
    Transient,
    psycopg.OperationalError,  # unreachable, restarting, deadlock, serialisation
    psycopg.InterfaceError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    ConnectionError,
    TimeoutError,
    BrokenExecutor,
)
_TRANSIENT_ERRNO: Final = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EHOSTUNREACH)
)


def is_transient(error: BaseException) -> bool:
    """Whether the same batch may succeed later without anybody changing the code."""
    if isinstance(error, _TRANSIENT):
        return True
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO
