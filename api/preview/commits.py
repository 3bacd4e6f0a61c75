"""What a monitor would have found lately: looked for in the API's process within a time, kept nowhere."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from pathlib import Path
from threading import BoundedSemaphore
from typing import Final

import msgspec
import structlog

from streams.monitors.results import Result, result_of
from streams.search.engine import EngineError
from streams.search.history.engine import HistoryEngine
from streams.search.query import HistoryQuery
from streams.threads import Interrupt

COMMITS: Final = 100
"""Of each repository, the newest."""
RESULTS: Final = 20
_GRACE_S: Final = 0.25
_log = structlog.get_logger()


class CommitPlace(msgspec.Struct, frozen=True):
    """A clone on this machine."""

    name: str
    folder: Path
    branch: str | None


class CommitSample(msgspec.Struct, frozen=True):
    """What was found in the repositories that there was time for."""

    looked_at: int = 0
    results: tuple[Result, ...] = ()


class CommitPreviewer:
    """Looks for one process; mirrors are below ``home``. Thread-safe."""

    def __init__(self, home: Path, *, time_s: float = 2.0, at_once: int = 2, repositories: int = 50) -> None:
        self.home = home
        self._time_s = time_s
        self._repositories = repositories
        self._places = BoundedSemaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="commit-preview")

    def look(
        self,
        query: HistoryQuery,
        repository_ids: Sequence[int],
        place_of: Callable[[int], CommitPlace | None],
    ) -> CommitSample:
        """Returns within the time and a grace, whatever git does; where others look already, at once and empty."""
        if not self._places.acquire(timeout=_GRACE_S):
            return CommitSample()
        interrupt, ends_s = Interrupt(), time.monotonic() + self._time_s
        found: list[Result] = []
        looked: list[int] = []

        def run() -> None:
            try:
                self._look(query, repository_ids, place_of, interrupt, ends_s, found, looked)
            finally:
                self._places.release()

        try:
            self._threads.submit(run).result(self._time_s + _GRACE_S)
        except NotInTime:
            interrupt.set()
            _log.info("commit_preview_cut_short", looked_at=len(looked))
        return CommitSample(len(looked), tuple(found[:RESULTS]))

    def _look(
        self,
        query: HistoryQuery,
        repository_ids: Sequence[int],
        place_of: Callable[[int], CommitPlace | None],
        interrupt: Interrupt,
        ends_s: float,
        found: list[Result],
        looked: list[int],
    ) -> None:
        def is_over() -> bool:
            return time.monotonic() > ends_s or len(found) >= RESULTS

        for repository_id in repository_ids:
            place = place_of(repository_id)
            if place is None:
                continue
            if is_over() or len(looked) >= self._repositories:
                return
            try:
                engine = HistoryEngine(place.folder, place.branch, interrupt)
                for match in engine.newest(query, COMMITS, is_over):
                    found.append(result_of(place.name, match))
            except (EngineError, OSError) as error:
                _log.info("commit_preview_unreadable", repository=place.name, error=str(error))
                continue
            looked.append(repository_id)
