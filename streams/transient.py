"""Which errors go away by themselves. Everything else is a bug (DESIGN section 6)."""

import errno
from concurrent.futures import BrokenExecutor
from typing import Final

import psycopg
import sqlalchemy.exc

from infra.kafka.errors import KafkaError
from infra.postgres.errors import DatabaseUnreachable
from projections.generations import NotProjected
from streams.agent import Transient

_TRANSIENT: Final = (
    Transient,
    KafkaError,
    DatabaseUnreachable,
    NotProjected,  # the projector has not started yet
    psycopg.OperationalError,  # unreachable, restarting, deadlock, serialisation
    psycopg.InterfaceError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    ConnectionError,
    TimeoutError,
    BrokenExecutor,
)
_OTHER_BUILD: Final = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
"""The live generation was built by another version: it is read until the one of this build has caught up."""
_TRANSIENT_ERRNO: Final = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EHOSTUNREACH)
)


def is_transient(error: BaseException) -> bool:
    """Whether the same batch may succeed later without anybody changing the code.

    A group of errors goes away when all in it do.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_transient(one) for one in error.exceptions)
    if isinstance(error, _TRANSIENT):
        return True
    if isinstance(error, sqlalchemy.exc.DBAPIError) and (
        error.connection_invalidated or isinstance(error.orig, _OTHER_BUILD)
    ):
        return True
    return isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO
