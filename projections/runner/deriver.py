"""Keeps the derived rows of one generation current: a thread beside the one that writes batches, woken by it."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from infra.metrics import DERIVE_FAILURES
from projections.generations import Generation
from projections.projection import Derive, Projection
from projections.runner.checkpoint import Connection
from projections.runner.deriving import DeriveFailed, Deriving, Outcome

LOOK_S: Final = 2.0
"""How soon what nobody told of is found: left by a process that died, or folded again by an order."""
AGAIN_S: Final = 10.0
"""How long a key is left alone after the step failed for it."""
MOST_REST_S: Final = 1.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_log = structlog.get_logger()


class Deriver:
    """``connect`` opens a connection on the generation's schema; ``moved`` is called when rows were written.

    Several may work on one generation: a key that another holds is passed over. What time mends is tried again for ever; a bug
    leaves its key stale, and the others go on. Does nothing for a projection without a derive step.
    """

    def __init__(
        self,
        projection: Projection,
        generation: Generation,
        connect: Callable[[], Connection],
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._projection: Final = projection.name
        self._schema: Final = generation.schema_name
        self._connect: Final = connect
        self._moved: Final = moved
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._failed: dict[int, float] = {}
        self._thread: threading.Thread | None = None
        if (one := projection.derive) is not None:
            self._thread = threading.Thread(
                target=self._run, args=(one,), name=f"deriver-{projection.name}", daemon=True
            )

    def start(self) -> None:
        """Begin with what is stale already."""
        if self._thread is not None:
            self._thread.start()

    def wake(self) -> None:
        """Something was marked."""
        self._wake.set()

    def close(self) -> None:
        """Stop behind the key in hand."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _run(self, one: Derive) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    deriving = Deriving(self._projection, self._schema, one, connection)
                    while not self._stop.is_set():
                        self._look(deriving)
                        pause_s = _FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001 - whatever it is: a thread that ended would leave everything stale, silently
                # Of some errors of the database the generation itself is the reason: it is dropped, or of another build.
                _log.warning(
                    "derive_retried", projection=self._projection, pause_s=pause_s, error=repr(error)
                )
                self._stop.wait(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _look(self, deriving: Deriving) -> None:
        self._wake.clear()
        began_s = time.monotonic()
        if self._work(deriving):
            # Those who fold share the interpreter with it: it takes half of the time at most.
            self._stop.wait(min(time.monotonic() - began_s, MOST_REST_S))
        else:
            self._wake.wait(LOOK_S)

    def _work(self, deriving: Deriving) -> bool:
        """One page of stale keys; False when nothing could be done."""
        now_s = time.monotonic()
        self._failed = {key: at_s for key, at_s in self._failed.items() if now_s - at_s < AGAIN_S}
        written = False
        for key in deriving.stale(but=self._failed):
            if self._stop.is_set():
                break
            written |= self._one(deriving, key)
        if written:
            self._moved()
        return written

    def _one(self, deriving: Deriving, key: int) -> bool:
        try:
            return deriving.derive(key) is Outcome.DERIVED
        except DeriveFailed as error:
            self._failed[key] = time.monotonic()
            DERIVE_FAILURES.labels(self._projection).inc()
            _log.error(
                "derive_failed",
                projection=self._projection,
                key=key,
                reason=str(error),
                remedy=error.remedy,
            )
            return False
