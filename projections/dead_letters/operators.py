"""The role that may read foreign bytes, taken on for as long as it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from infra.postgres.role import OPERATOR


@contextmanager
def as_operator(connection: Connection) -> Iterator[Connection]:
    """``connection``, inside its transaction, with the rights of operators alone. Whoever calls it has seen that they may.

    It ends with the block; where the block fails, with the transaction, which is of no use any more then.
    """
    connection.execute(text(f"set local role {OPERATOR}"))
    yield connection
    connection.execute(text("reset role"))
