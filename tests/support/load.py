"""A load on the log while faults strike: a known history, published until every event of it is acknowledged."""

import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import msgspec

from infra.kafka.errors import KafkaError
from infra.kafka.producer import Publisher
from infra.settings import Settings
from schemas.envelope import Event, Position
from tests.support.history import Garbage, Said, history

BATCH: Final = 20
NOWHERE: Final = Position("", -1, -1)
_ANSWER_S: Final = 20.0


class Acknowledged(msgspec.Struct, frozen=True):
    """What the broker said it has, and where."""

    said: Said
    position: Position


class Load:
    """Publishes ``history(seed)`` in small batches, ``rate_per_s`` events a second, until it is left.

    A batch that was not acknowledged within ``answer_s`` is published again, whole: what of it had come through stands twice.
    ``believes`` is a bug: it takes what was refused for acknowledged, at ``NOWHERE``.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        rate_per_s: float = 400.0,
        answer_s: float = _ANSWER_S,
        *,
        believes: bool = False,
    ) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.refusals = 0
        self._settings = settings.model_copy(update={"publish_timeout_s": answer_s})
        self._history: Iterator[Said] = history(seed)
        self.said: list[Said] = []
        """Everything that it tried to publish."""
        self._pause_s = BATCH / rate_per_s
        self._believes = believes
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        if error is None:
            assert not self._thread.is_alive(), "the last batch was not acknowledged within a minute"
            assert self._failure is None, f"the load ended early: {self._failure!r}"

    def grown_by(self, number: int, timeout_s: float = 60.0) -> bool:
        """Wait until so many more records are on the log; False when the time is over."""
        wanted = len(self.acknowledged) + number
        deadline_s = time.monotonic() + timeout_s
        while len(self.acknowledged) < wanted:
            if time.monotonic() > deadline_s or self._failure is not None:
                return False
            time.sleep(0.02)
        return True

    def _run(self) -> None:
        try:
            with Publisher(self._settings, client_id="load") as publisher:
                while not self._stop.is_set():
                    batch = [next(self._history) for _ in range(BATCH)]
                    self.said += batch
                    self._say(publisher, batch)
                    self._stop.wait(self._pause_s)
        except BaseException as error:  # noqa: BLE001 - told by the test that has the load
            self._failure = error

    def _say(self, publisher: Publisher, batch: list[Said]) -> None:
        while True:
            try:
                positions = publisher.publish([said for said in batch if isinstance(said, Event)])
                break
            except KafkaError:
                self.refusals += 1
                if self._believes:
                    positions = [NOWHERE for said in batch if isinstance(said, Event)]
                    break
                time.sleep(0.1)
        self.acknowledged += [
            Acknowledged(said, position)
            for said, position in zip(
                [said for said in batch if isinstance(said, Event)], positions, strict=True
            )
        ]
        for said in batch:
            if isinstance(said, Garbage):
                self._say_garbage(publisher, said)

    def _say_garbage(self, publisher: Publisher, said: Garbage) -> None:
        while True:
            try:
                position = publisher.publish_raw(said.topic, said.key, said.value)
                self.acknowledged.append(Acknowledged(said, position))
                return
            except KafkaError:
                self.refusals += 1
                time.sleep(0.1)
