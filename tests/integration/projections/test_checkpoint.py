"""The compare-and-set of checkpoints: only the newest claim may write, and only from where the checkpoint is."""

from collections.abc import Callable, Sequence

import msgspec
import psycopg
import pytest

from infra.kafka.admin import Watermarks
from projections.catalogue import REPOSITORIES
from projections.generations import Generation
from projections.projection import Projection
from projections.runner import checkpoint
from projections.runner.checkpoint import Checkpoint, Connection, Move, State
from projections.runner.errors import Fenced
from tests.support.projecting import T0

Place = Callable[[Projection], tuple[psycopg.Connection[tuple[object, ...]], Generation]]
PARTITIONS = [("t", 0), ("t", 1)]


@pytest.fixture
def connection(place: Place) -> Connection:
    found, _ = place(REPOSITORIES)
    found.execute("truncate checkpoints")
    checkpoint.ensure(found, "cluster", {"t": b"i" * 16}, {"t": {0: Watermarks(5, 9), 1: Watermarks(0, 0)}})
    return found


def _step(held: Checkpoint, next_offset: int, fetched_from: int | None = None) -> Move:
    return Move(
        topic=held.topic,
        partition=held.partition,
        epoch=held.epoch,
        fetched_from=held.next_offset if fetched_from is None else fetched_from,
        next_offset=next_offset,
        last_offset=next_offset - 1,
        last_crc32=0xFFFFFFFF,
        last_append_time=T0,
    )


def _move(connection: Connection, steps: Sequence[Move]) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        checkpoint.move(cursor, steps)


def test_a_new_checkpoint_starts_at_the_log_start_and_stays(connection: Connection) -> None:
    held = checkpoint.claim(connection, PARTITIONS)
    assert (held["t", 0].next_offset, held["t", 1].next_offset) == (5, 0)
    assert held["t", 0].topic_id == b"i" * 16
    assert held["t", 0].last_offset is None
    checkpoint.ensure(
        connection, "other", {"t": b"j" * 16}, {"t": {0: Watermarks(7, 9), 2: Watermarks(3, 4)}}
    )
    again = checkpoint.claim(connection, [*PARTITIONS, ("t", 2)])
    assert again["t", 0] == msgspec.structs.replace(held["t", 0], epoch=held["t", 0].epoch + 1)
    assert again["t", 2].next_offset == 3


def test_a_step_from_where_it_is_succeeds(connection: Connection) -> None:
    held = checkpoint.claim(connection, PARTITIONS)
    _move(connection, [_step(held["t", 1], 3), _step(held["t", 0], 8)])
    after = checkpoint.claim(connection, PARTITIONS)
    assert [(one.next_offset, one.last_offset, one.last_crc32) for one in after.values()] == [
        (8, 7, 0xFFFFFFFF),
        (3, 2, 0xFFFFFFFF),
    ]


@pytest.mark.parametrize("fetched_from", [4, 6])
def test_a_step_from_elsewhere_moves_nothing_at_all(connection: Connection, fetched_from: int) -> None:
    held = checkpoint.claim(connection, PARTITIONS)
    with pytest.raises(Fenced):
        _move(connection, [_step(held["t", 0], 8, fetched_from), _step(held["t", 1], 3)])
    assert [one.next_offset for one in checkpoint.claim(connection, PARTITIONS).values()] == [5, 0]


def test_whoever_was_paused_is_fenced_by_a_newer_claim(connection: Connection) -> None:
    paused = checkpoint.claim(connection, PARTITIONS)
    successor = checkpoint.claim(connection, PARTITIONS[:1])
    with pytest.raises(Fenced):
        _move(connection, [_step(paused["t", 0], 8)])
    _move(connection, [_step(successor["t", 0], 8), _step(paused["t", 1], 2)])


def test_a_state_is_said_by_the_holder_only_and_gone_with_the_next_claim(connection: Connection) -> None:
    held = checkpoint.claim(connection, PARTITIONS)
    checkpoint.mark(connection, ("t", 0), held["t", 0].epoch - 1, State.FAILED, "not mine")
    checkpoint.mark(connection, ("t", 1), held["t", 1].epoch, State.NEEDS_UPGRADE, "v9")
    query = "select state, state_reason from checkpoints order by partition"
    assert connection.execute(query).fetchall() == [("RUNNING", None), ("NEEDS_UPGRADE", "v9")]
    checkpoint.claim(connection, PARTITIONS)
    assert connection.execute(query).fetchall() == [("RUNNING", None)] * 2


def test_a_transient_topic_goes_on_at_its_start(connection: Connection) -> None:
    held = checkpoint.claim(connection, PARTITIONS)
    moved = checkpoint.rebase(connection, held["t", 0], 70)
    assert moved.next_offset == 70
    _move(connection, [_step(moved, 71)])
