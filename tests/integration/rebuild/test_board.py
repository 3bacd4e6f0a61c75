"""One look at the database for all keepers of a process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from projections.catalogue import EVENT_INDEX
from projections.generations import ensure_generation
from projections.rebuild import control
from projections.rebuild.board import AGE_S, Board


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """The statements that ``engine`` runs meanwhile."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_keepers_at_one_time_share_a_look(projector: Engine) -> None:
    clock = Clock()
    board = Board(projector, clock)
    together = threading.Barrier(8)
    seen: list[object] = []

    def look() -> None:
        together.wait()
        seen.append(board.look())

    threads = [threading.Thread(target=look) for _ in range(8)]
    with counted(projector) as statements:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        once = len(statements)
        clock.now_s += AGE_S * 0.99
        board.look()
        assert len(statements) == once
        clock.now_s += AGE_S * 0.01
        board.look()
        assert len(statements) == 2 * once
    assert once <= 4
    assert all(one is seen[0] for one in seen)


def test_a_look_shows_what_happened_since_and_a_fresh_one_at_once(projector: Engine) -> None:
    ensure_generation(projector, EVENT_INDEX)
    clock = Clock()
    board = Board(projector, clock)
    before = board.look()
    assert before.live["event_index"].number == 1
    ordered = control.order_of(projector, EVENT_INDEX, ordered_by="a test")
    assert ordered.id not in {one.id for one in board.look().rebuilds_of("event_index")}
    assert board.look(afresh=True).rebuilds_of("event_index")[0].id == ordered.id
    control.cancel(projector, ordered.id)
    clock.now_s += AGE_S
    assert board.look().rebuilds_of("event_index")[0].state != ordered.state
    assert board.look().rebuilds_of("insights") == []


def test_a_look_that_failed_is_made_again() -> None:
    board = Board(create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing"), Clock())
    for _ in range(2):
        with pytest.raises(OperationalError):
            board.look()
