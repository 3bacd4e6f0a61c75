"""Counts a sample within a time, in the API's process: nothing is asked of the workers, nothing is kept.

A request on the log would stay there for ever, and a preview is asked for at every pause of somebody who types.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from datetime import datetime
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Final

import msgspec
import structlog

from api.preview.sample import Counted, Place, Sample, ended_in_time, request_of
from schemas.events import SeriesDefinition
from streams.search.engine import EngineError, GitEngine, SearchLimits
from streams.search.query import QueryError

_GRACE_S: Final = 0.25
"""The engine watches its time at each blob; a tree it lists to the end."""
_log = structlog.get_logger()


class PreviewPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``repositories``: the largest sample; ``looked_at``: repositories whose clone is looked for at most;
    ``time_s``: for counting; ``at_once``: previews that count at the same time."""

    repositories: int = 25
    looked_at: int = 2_000
    time_s: float = 2.0
    at_once: int = 2


class Previewer:
    """Counts samples of one process; mirrors are below ``home``, ``limits`` are the workers'. Thread-safe."""

    def __init__(
        self,
        home: Path,
        policy: PreviewPolicy = PreviewPolicy(),  # noqa: B008
        limits: SearchLimits = SearchLimits(),  # noqa: B008
    ) -> None:
        self.home = home
        self.policy = policy
        # One reader of blobs each: people who read pages share this process.
        self._engine = GitEngine(limits, readers=1)
        self._places = BoundedSemaphore(policy.at_once)
        self._threads = ThreadPoolExecutor(policy.at_once, thread_name_prefix="preview")

    def count(
        self,
        series: Sequence[SeriesDefinition],
        repository_ids: Sequence[int],
        place_of: Callable[[int], Place | None],
        instants: tuple[datetime, ...],
    ) -> Sample:
        """Count as many of ``repository_ids`` as there is time for, in their order.

        ``place_of`` says where a clone is, None where it is not on this machine. Returns within ``time_s`` and a grace,
        whatever git does; where others count already, at once with ``busy``.
        """
        if not self._places.acquire(timeout=_GRACE_S):
            return Sample(busy=True)
        started_s = time.monotonic()
        work = _Work(started_s + self.policy.time_s)

        def run() -> None:
            # The place is given back when git has ended, not when the caller stopped waiting for it.
            try:
                self._count(work, series, repository_ids, place_of, instants)
            finally:
                self._places.release()

        try:
            self._threads.submit(run).result(self.policy.time_s + _GRACE_S)
        except NotInTime:
            _log.info("preview_cut_short", counted=len(work.counted))
        return work.sample(time.monotonic() - started_s)

    def _count(
        self,
        work: "_Work",
        series: Sequence[SeriesDefinition],
        repository_ids: Sequence[int],
        place_of: Callable[[int], Place | None],
        instants: tuple[datetime, ...],
    ) -> None:
        for repository_id in repository_ids[: self.policy.looked_at]:
            left_s = work.ends_s - time.monotonic()
            if left_s <= 0 or len(work.counted) >= self.policy.repositories:
                return
            place = place_of(repository_id)
            if place is None:
                work.not_here += 1
                continue
            work.begun = True
            try:
                found = self._engine.count(
                    place.folder, None, request_of(series, place, instants), timeout_s=left_s
                )
            except (EngineError, QueryError, OSError) as error:
                _log.info("preview_unreadable", repository_id=repository_id, error=str(error))
                work.end(None)
            else:
                work.end(Counted(place, found))


class _Work:
    """What is known so far; read while it still grows."""

    def __init__(self, ends_s: float) -> None:
        self.ends_s = ends_s
        self.counted: list[Counted] = []
        self.not_here = 0
        self.begun = False
        self._late = 0
        self._unreadable = 0
        self._lock = Lock()

    def end(self, counted: Counted | None) -> None:
        with self._lock:
            self.begun = False
            if counted is None:
                self._unreadable += 1
            elif ended_in_time(counted.result):
                self.counted.append(counted)
            else:
                self._late += 1

    def sample(self, duration_s: float) -> Sample:
        with self._lock:
            return Sample(
                counted=tuple(self.counted),
                not_here=self.not_here,
                not_in_time=self._late + self.begun,
                unreadable=self._unreadable,
                duration_s=duration_s,
            )
