"""Child processes of these tests: started, listened to, and killed by their id."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from infra.settings import Settings
from tests.integration.streams.probe import Probe
from tests.support.environ import security_of
from tests.support.spawning import talking
from tests.support.system import eventually

T = TypeVar("T")
Line = Mapping[str, Any]


class Child:
    """A process that writes JSON lines, to standard output or error; other lines are kept as text."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        self.process, self._output = talking(arguments, {**kept, **(environ or {})})
        self.lines: list[Line] = []
        self.text: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()
        self._reader.join(10)
        if error is not None:
            sys.stderr.write(
                "".join(self.text[-60:]) + "\n".join(str(line) for line in self.lines[-40:]) + "\n"
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, timeout_s: float = 20.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def exit_code(self, timeout_s: float) -> int:
        """Wait until it has ended by itself, and all it said was read."""
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    def wait_for(
        self, condition: Callable[[Sequence[Line]], T | None], what: str, timeout_s: float = 30.0
    ) -> T:
        """The first truthy answer of ``condition`` about the lines so far."""

        def look() -> T | None:
            found = condition(list(self.lines))
            if not found and self.process.poll() is not None:
                raise AssertionError(
                    f"the child ended with {self.process.returncode} before {what}: {self.text[-20:]}"
                )
            return found

        return eventually(look, what, timeout_s=timeout_s)

    def of_kind(self, kind: str) -> list[Line]:
        """Lines of a probe."""
        return [line for line in list(self.lines) if line.get("kind") == kind]

    def _read(self) -> None:
        for line in self._output:
            try:
                found = json.loads(line)
            except ValueError:
                found = None
            if isinstance(found, dict):
                self.lines.append(found)
            else:
                self.text.append(line)


def start_probe(probe: Probe, home: Path) -> Child:
    """A probe's process; what Faust writes goes below ``home``."""
    arguments = ["tests.integration.streams.probe", msgspec.json.encode(probe).decode()]
    return Child(arguments, {"MILLSTREAM_HOME": str(home)})


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The variables by which a program of ours finds this installation."""
    return {
        "MILLSTREAM_HOME": str(settings.home),
        "MILLSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "MILLSTREAM_DATABASE_URL": settings.database_url.get_secret_value(),
        **security_of(settings),
        "MILLSTREAM_KAFKA_SESSION_TIMEOUT_MS": str(settings.kafka_session_timeout_ms),
        "MILLSTREAM_LOG_FORMAT": "json",
        **more,
    }


def start_worker(settings: Settings, *apps: str, **more: str) -> Child:
    """``millstream worker``; of one app it is that app's own process."""
    flags = [part for name in apps for part in ("--app", name)]
    return Child(["api.cli.main", "worker", *flags], environment(settings, **more))


def start_projector(settings: Settings) -> Child:
    """``millstream projector``."""
    return Child(["api.cli.main", "projector"], environment(settings))
