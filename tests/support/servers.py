"""Kafka and PostgreSQL of an embedded stack, killed by id and awaited until their supervisor has started them again."""

import json
import signal
import time
from pathlib import Path
from typing import Final, Literal

from infra.embedded.children import Backoff
from infra.embedded.home import Home
from infra.embedded.processes import ProcessRef
from tests.support.system import eventually

Server = Literal["kafka", "postgres"]
_START_S: Final = 90.0
_CALM_S: Final = Backoff().calm_s + 1.0
_IN_A_ROW: Final = 6
"""Deaths in a row that the supervisor forgives: before the next one the server has to have lived for a while."""


class Servers:
    """The servers of one home. Counts their deaths, so that their supervisor does not give up on them."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._deaths: dict[Server, int] = {"kafka": 0, "postgres": 0}
        self._ready_s: dict[Server, float] = {}

    def kill(self, name: Server, number: signal.Signals = signal.SIGKILL) -> ProcessRef:
        """Send the signal to the running server; which process it was. ``back`` waits for its successor."""
        if self._deaths[name] and self._deaths[name] % _IN_A_ROW == 0:
            while time.monotonic() < self._ready_s[name] + _CALM_S:
                time.sleep(0.2)
        before = self.process(name)
        assert before is not None, f"{name} does not run"
        self._deaths[name] += 1
        assert before.signal(number), f"{name} was gone before it could be killed"
        eventually(lambda: not before.alive(), f"{name} to die", timeout_s=_START_S)
        return before

    def back(self, name: Server, before: ProcessRef) -> ProcessRef:
        """The server that runs instead of ``before``, ready."""

        def successor() -> ProcessRef | None:
            found = self.process(name)
            return found if found is not None and found != before else None

        found = eventually(successor, f"{name} to be back", timeout_s=_START_S)
        self._ready_s[name] = time.monotonic()
        return found

    def process(self, name: Server) -> ProcessRef | None:
        """The server that runs now and is ready; None while there is none."""
        try:
            said = json.loads(Home(self._home.absolute()).stack_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        found = ProcessRef(**said[name])
        return found if found.alive() else None
