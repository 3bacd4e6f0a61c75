"""Keepers of projections in threads of the test's own process: what a projector does for each projection."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.postgres.runtime import heartbeats
from infra.settings import Settings
from projections.freshness import HEARTBEAT_PREFIX
from projections.projection import Projection
from projections.rebuild.board import Board
from projections.rebuild.following import follow
from projections.rebuild.keeping import Keeper
from projections.rebuild.store import Rebuild
from projections.runner.notify import Notifier


class Keeping:
    """Keepers that work, and what ended one early."""

    def __init__(self, keepers: list[Keeper]) -> None:
        self.keepers = keepers
        self.failures: list[BaseException] = []


@contextmanager
def keeping(settings: Settings, *projections: Projection, name: str = "test") -> Iterator[Keeping]:
    """Keep these projections until the block ends, with a heartbeat that says so."""
    stop = threading.Event()
    notifier = Notifier(settings)
    database = make_engine(settings, Role.PROJECTOR, pool_size=3)
    board = Board(database)
    found = Keeping([Keeper(settings, database, one, notifier, stop, board) for one in projections])

    def run(keeper: Keeper) -> None:
        try:
            keeper.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the tests
            found.failures.append(error)

    threads = [threading.Thread(target=run, args=(keeper,)) for keeper in found.keepers]
    beats = threading.Thread(target=_beat, args=(database, found, name, stop))
    for thread in [*threads, beats]:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in [*threads, beats]:
            thread.join(60)
        notifier.close()
        database.dispose()


def _beat(database: Engine, found: Keeping, name: str, stop: threading.Event) -> None:
    while True:
        ending = stop.is_set()  # the last one says so, whenever it comes to be asked
        kept = [] if ending else [one for keeper in found.keepers for one in keeper.kept]
        beat = insert(heartbeats).values(
            process=f"{HEARTBEAT_PREFIX}{name}",
            host="test",
            pid=0,
            started_at=datetime.now(UTC),
            seen_at=datetime.now(UTC),
            details={"projections": [], "generations": kept, "ends": {}},
        )
        with database.begin() as connection:
            connection.execute(
                beat.on_conflict_do_update(
                    index_elements=["process"],
                    set_={"seen_at": datetime.now(UTC), "details": beat.excluded.details},
                )
            )
        if ending:
            return
        stop.wait(0.2)


def rebuilt(settings: Settings, ordered: Rebuild) -> Rebuild:
    """Done here, or watched to its end where a keeper was quicker to take it."""
    database = make_engine(settings, Role.PROJECTOR, pool_size=1)
    try:
        return follow(settings, database, ordered.id, threading.Event(), lambda found: None)
    finally:
        database.dispose()


def eventually(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    """Poll a condition until it is true; False when the time is over."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True
