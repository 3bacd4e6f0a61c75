"""Whose fault is it that a batch was not written: time's, an event's, or nobody's event in particular (DESIGN section 7)."""

from enum import Enum
from typing import Final

import psycopg
from psycopg import errors
from sqlalchemy.exc import InterfaceError as AlchemyInterfaceError
from sqlalchemy.exc import OperationalError as AlchemyOperationalError

from infra.postgres.errors import DatabaseUnreachable
from projections.runner.errors import FoldRaised
from schemas.errors import MillstreamError

TRANSIENT: Final = (
    psycopg.OperationalError,  # unreachable, deadlock, serialisation, shutdown, statement timeout, disk full
    psycopg.InterfaceError,
    errors.IdleInTransactionSessionTimeout,  # paused in the middle of a batch; psycopg calls it internal
    errors.ReadOnlySqlTransaction,  # a server that is being replaced by another
    AlchemyOperationalError,
    AlchemyInterfaceError,
    DatabaseUnreachable,
)
"""What time mends: retried for ever, never a dead letter, never a quarantine. Of these, PROGRAM_LIMITS are no outage."""
PROGRAM_LIMITS: Final = (
    errors.ProgramLimitExceeded,
    errors.StatementTooComplex,
    errors.TooManyColumns,
    errors.TooManyArguments,
)
"""SQLSTATE class 54, which psycopg calls operational: a row that Postgres can never hold, so no retry mends it."""
_OF_A_ROW: Final = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, *PROGRAM_LIMITS)
_OF_THE_TABLES: Final = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InsufficientPrivilege,
    errors.InvalidSchemaName,
    errors.SyntaxError,
)
"""What no event can cause: the generation is not what this build expects."""


class Blame(Enum):
    """What a failure says."""

    TIME = "time"
    """Try the same again."""
    EVENT = "event"
    """Some event meets a bug in the fold or its writer."""
    NOBODY = "nobody"
    """No event in particular: going on needs a person."""


def blame(error: BaseException) -> Blame:
    """Whose fault ``error`` is, raised by a fold (FoldRaised) or while its rows were being written."""
    if isinstance(error, (FoldRaised, *PROGRAM_LIMITS)):
        return Blame.EVENT
    if isinstance(error, TRANSIENT):
        return Blame.TIME
    if isinstance(error, psycopg.Error):
        of_a_row = isinstance(error, _OF_A_ROW) and not isinstance(error, _OF_THE_TABLES)
        return Blame.EVENT if of_a_row else Blame.NOBODY
    if isinstance(error, Exception) and not isinstance(error, MillstreamError | OSError | MemoryError):
        return Blame.EVENT
    return Blame.NOBODY
