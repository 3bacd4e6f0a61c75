"""Waiting for the verdict on what was published, and for the projections that the answer reads (DESIGN sections 1 and 9)."""

import time
from collections.abc import Collection
from typing import Final

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from infra.postgres.errors import DatabaseUnreachable
from projections.judged import PENDING, Verdict, owner_of, verdict
from projections.reading import Reader
from schemas.envelope import Position

_RETRY_S: Final = 0.25
_log = structlog.get_logger()


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """``visible``: every projection that was asked for has passed the event, so that a read shows what it did."""

    verdict: Verdict
    visible: bool


def wait_judged(reader: Reader, position: Position, projections: Collection[str], timeout_s: float) -> Judged:
    """The verdict once the topic's owner has it, and ``projections`` have passed it, or what is so when the time is over.

    A database that does not answer is waited for too: what is on the log is no failure, whatever happens to the answer.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return _look(reader, position, projections, deadline_s)
        except (SQLAlchemyError, DatabaseUnreachable) as error:
            _log.warning("verdict_not_read", position=str(position), error=str(error))
            if time.monotonic() + _RETRY_S > deadline_s:
                return Judged(verdict=Verdict(state=PENDING), visible=False)
            time.sleep(_RETRY_S)


def _look(reader: Reader, position: Position, projections: Collection[str], deadline_s: float) -> Judged:
    owner = owner_of(position.topic)
    names = sorted({*projections, *([owner] if owner is not None else [])}, key=lambda name: name != owner)
    visible = all(
        reader.wait_for(name, [position], max(0.0, deadline_s - time.monotonic())) for name in names
    )
    with reader.snapshot(()) as snapshot:
        return Judged(verdict=verdict(snapshot.connection, position), visible=visible)
