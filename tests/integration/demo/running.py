"""The demo as a person runs it: a process of its own, in a folder, with a home."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from api.demo.figures import Figures
from infra.embedded.logs import tail

TIMEOUT_S = 240.0


@dataclass(frozen=True, slots=True)
class Run:
    """A demo that has ended."""

    code: int
    out: str
    err: str
    figures: Figures | None
    logs: str
    """Last words of every process, for the message of a test that fails."""

    @property
    def story(self) -> str:
        """All that can be known about it."""
        return f"{self.out}{self.err}{self.logs}"


def environment(home: Path, **more: str) -> dict[str, str]:
    """What the demo gets: nothing of the surrounding installation or git command."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MILLSTREAM_DEMO", "GIT_"))
    }
    return {**kept, "MILLSTREAM_HOME": str(home), "COLUMNS": "200", **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "api.cli.main", "demo", *arguments]


def run_demo(home: Path, folder: Path, *arguments: str, **more: str) -> Run:
    """Run ``millstream demo --exit`` in ``folder``."""
    json_file = folder / "figures.json"
    json_file.unlink(missing_ok=True)
    done = subprocess.run(
        command("--exit", "--json", str(json_file), *arguments),
        cwd=folder,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    figures = msgspec.json.decode(json_file.read_bytes(), type=Figures) if json_file.exists() else None
    return Run(done.returncode, done.stdout, done.stderr, figures, last_words(home))


def last_words(home: Path, lines: int = 15) -> str:
    """The ends of the logs below a home, but the servers'."""
    names = ("worker", "projector", "api", "stack")
    return "".join(
        f"\n--- {name}.log\n" + "\n".join(tail(home / "logs" / f"{name}.log", lines)) for name in names
    )


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that were started for this home and still run."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            environ: dict[str, Any] = process.environ()
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        ours = environ.get("MILLSTREAM_HOME") == str(home) or str(home) in line
        if ours and process.pid != os.getpid():
            found.append(line)
    return found
