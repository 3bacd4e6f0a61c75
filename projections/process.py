"""``millstream projector``: one thread per projection, in as many processes as ``projections.sharing`` says."""

import os
import signal
import socket
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Final

import structlog
from sqlalchemy import Engine, delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from infra import metrics
from infra.installation import refuse_unsound
from infra.kafka.admin import KafkaAdmin
from infra.kafka.errors import KafkaError
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.postgres.runtime import heartbeats
from infra.settings import Settings
from projections.apart import EX_SOFTWARE, run_apart
from projections.catalogue import PROJECTIONS, projection
from projections.freshness import HEARTBEAT_PREFIX, Ends
from projections.lag import projection_lags, watermarks
from projections.lag.sampler import sample_lag
from projections.pace import set_pace
from projections.projection import Projection
from projections.rebuild.board import Board
from projections.rebuild.keeping import Keeper
from projections.runner.errors import FoldFailed, LogMismatch, LogTruncated
from projections.runner.failures import TRANSIENT
from projections.runner.notify import Notifier
from projections.sharing import groups
from schemas.errors import MustStop
from schemas.shapes import learn_all

_HEARTBEAT_INTERVAL_S: Final = 5.0
_FORGOTTEN_AFTER: Final = timedelta(days=1)
_log = structlog.get_logger()


def run(settings: Settings, only: Sequence[str] | None = None) -> int:
    """Run the projections named in ``only`` (None: all) until SIGTERM or SIGINT; the exit code.

    A projection whose log was replaced or cut, or whose fold is broken (a bug at a few aggregates costs these only), stops
    alone and says so, and the others go on. The code is 70 when none is left, and for what nobody foresaw. Call it from
    the main thread of a process without other threads where the projections are to have several processes.
    """
    wanted = PROJECTIONS if not only else tuple(projection(name) for name in only)
    settings.require_kafka()
    settings.dsn(Role.PROJECTOR)
    set_pace()
    learn_all()
    shared = groups([one.name for one in wanted], len(os.sched_getaffinity(0)))
    if len(shared) > 1:
        return run_apart(settings, shared, lambda names: _run_group(settings, names))
    if settings.metrics_port is not None:
        _log.info("metrics_served", port=metrics.serve_metrics(settings.metrics_port))
    return _run_group(settings, [one.name for one in wanted])


def _run_group(settings: Settings, names: Sequence[str]) -> int:
    """Run these projections in this process until SIGTERM or SIGINT; the exit code, 70 when none is left.

    Raises TopicUnsound: it does not run on topics that could lose events.
    """
    wanted = [projection(name) for name in names]
    refuse_unsound(settings)
    stop = threading.Event()
    _stop_on_signals(stop)
    set_pace()
    with ExitStack() as resources:
        engine = make_engine(settings, Role.PROJECTOR, pool_size=3, name="projector")
        resources.callback(engine.dispose)
        notifier = Notifier(settings)
        resources.callback(notifier.close)
        board = Board(engine)
        keepers = {one.name: Keeper(settings, engine, one, notifier, stop, board) for one in wanted}
        threads = [
            threading.Thread(target=_keep, args=(one, keepers[one.name]), name=f"projection-{one.name}")
            for one in wanted
        ]
        for thread in threads:
            thread.start()
        watch = threading.Thread(
            target=_watch, args=(settings, engine, keepers, stop), name="watch", daemon=True
        )
        watch.start()
        sampler = threading.Thread(
            target=sample_lag, args=(settings, stop, names), name="lag-sampler", daemon=True
        )
        sampler.start()
        for thread in threads:
            thread.join()
        stopped_by_request = stop.is_set()
        stop.set()
        watch.join(timeout=_HEARTBEAT_INTERVAL_S)
        sampler.join(timeout=_HEARTBEAT_INTERVAL_S)
    return 0 if stopped_by_request else EX_SOFTWARE


def _keep(one: Projection, keeper: Keeper) -> None:
    """Keep the generations of one projection until the process is to end."""
    try:
        keeper.run()
    except MustStop as error:
        # A log that is not ours, or a broken fold, stops its projection only: the others are right, and served.
        if not isinstance(error, LogMismatch | LogTruncated | FoldFailed):
            _die(one, error)
    except BaseException as error:  # noqa: BLE001 - nothing may end a projection silently
        _die(one, error)


def _die(one: Projection, error: BaseException) -> None:
    _log.critical(
        "projector_dies",
        projection=one.name,
        error=repr(error),
        stack="".join(traceback.format_exception(error)),
    )
    os._exit(EX_SOFTWARE)


def _stop_on_signals(stop: threading.Event) -> None:
    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)


def _watch(settings: Settings, engine: Engine, keepers: Mapping[str, Keeper], stop: threading.Event) -> None:
    """Heartbeat and lag, every five seconds; both are hints and may fail."""
    started_at = datetime.now(UTC)
    process = f"{HEARTBEAT_PREFIX}{socket.gethostname()}-{os.getpid()}"
    admin: KafkaAdmin | None = None
    mine = [projection(name) for name in keepers]
    ends: Ends = {}
    while not stop.is_set():
        try:
            _beat(engine, process, started_at, keepers, ends)
            admin = admin or KafkaAdmin(settings)
            # Each process looks at its own: readers put the ends of all heartbeats together.
            marks = watermarks(admin, mine)
            ends = {
                (topic, number): at.end
                for topic, partitions in marks.items()
                for number, at in partitions.items()
            }
            _beat(engine, process, started_at, keepers, ends)
            with engine.connect() as connection:
                for lag in projection_lags(connection, admin, marks, mine):
                    metrics.PROJECTION_LAG_RECORDS.labels(lag.projection).set(lag.records)
        except (SQLAlchemyError, KafkaError, *TRANSIENT) as error:
            _log.info("watch_failed", error=str(error))
            if admin is not None:
                admin.close()
                admin = None
        stop.wait(_HEARTBEAT_INTERVAL_S)
    if admin is not None:
        admin.close()
    with suppress(SQLAlchemyError), engine.begin() as connection:
        connection.execute(delete(heartbeats).where(heartbeats.c.process == process))


def _beat(
    engine: Engine, process: str, started_at: datetime, keepers: Mapping[str, Keeper], ends: Ends
) -> None:
    now = datetime.now(UTC)
    seen: dict[str, dict[str, int]] = {}
    for (topic, number), end in sorted(ends.items()):
        seen.setdefault(topic, {})[str(number)] = end
    beat = insert(heartbeats).values(
        process=process,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=started_at,
        seen_at=now,
        details={
            "projections": list(keepers),
            "generations": [kept for keeper in keepers.values() for kept in keeper.kept],
            "ends": seen,
        },
    )
    with engine.begin() as connection:
        # Whoever was killed left its row behind.
        gone = heartbeats.c.process.startswith(HEARTBEAT_PREFIX) & (
            heartbeats.c.seen_at < now - _FORGOTTEN_AFTER
        )
        connection.execute(delete(heartbeats).where(gone))
        connection.execute(
            beat.on_conflict_do_update(
                index_elements=["process"],
                set_={"seen_at": now, "started_at": started_at, "details": beat.excluded.details},
            )
        )
