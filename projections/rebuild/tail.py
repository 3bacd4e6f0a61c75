"""The new generation kept just behind the live one, so that both can be brought to one vector within a moment."""

import threading
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra.settings import Settings
from projections.generations import Generation, live_generations
from projections.projection import Projection
from projections.rebuild.filling import Filler, on_schema
from projections.rebuild.holding import epochs_of, vector_of
from projections.rebuild.vectors import Marks, Partition, Vector, ends_beside
from projections.runner.bound import Bound
from projections.runner.deriver import Deriver

_INTERVAL_S: Final = 0.1
_FOR_EVER: Final = 2**62
_log = structlog.get_logger()


class Tail:
    """A filler whose end follows the live generation's checkpoints, until it is opened: then the log's own end."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        one: Projection,
        generation: Generation,
        marks: Marks,
        at: Vector,
    ) -> None:
        self._engine = engine
        self._one = one
        self._generation = generation
        self._marks = marks
        begins = {
            (topic, number): at.get((topic, number), where.start)
            for topic, found in marks.items()
            for number, where in found.items()
        }
        self._bound = Bound(begins)
        deriver = Deriver(one, generation, lambda: on_schema(settings, generation.schema_name))
        self.filler = Filler(settings, one, generation, self._bound, deriver=deriver)
        self._stop = threading.Event()
        self._opened = False
        self._thread = threading.Thread(target=self._run, name=f"tail-{one.name}", daemon=True)

    def start(self) -> None:
        self.filler.start()
        self._thread.start()

    def close(self) -> None:
        """Stop behind the batch in hand."""
        self._stop.set()
        self._thread.join()
        self.filler.close()

    def let(self, live: Vector) -> dict[Partition, int]:
        """Read up to where the live generation stands; the ends that this means."""
        ends = ends_beside(self._marks, live)
        self._bound.move(ends)
        return ends

    def open(self) -> None:
        """Read on to the end of the log, past the live generation. There is no way back."""
        self._opened = True
        self._bound.move(dict.fromkeys(self._bound.ends(), _FOR_EVER))

    def taken_over(self) -> bool:
        """Whether somebody else has every partition now: under an epoch that is newer than ours."""
        if self.filler.fenced.is_set():
            return True
        mine = self.filler.epochs
        with self._engine.connect() as connection:
            theirs = epochs_of(connection, self._generation.schema_name)
        return bool(mine) and all(theirs.get(place, epoch) > epoch for place, epoch in mine.items())

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL_S) and not self._opened:
            try:
                with self._engine.connect() as connection:
                    live = live_generations(connection).get(self._one.name)
                    if live is not None:
                        self.let(vector_of(connection, live.schema_name))
            except SQLAlchemyError as error:
                _log.info("live_vector_not_read", projection=self._one.name, error=str(error))
