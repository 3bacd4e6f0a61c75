"""The embedded stack without a terminal: ``python -m infra.embedded.background HOME`` runs it until SIGTERM.

``millstream stack start`` starts this detached and follows its log until the servers are ready.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from infra.embedded.errors import ChildFailed, NotRunning, StackError
from infra.embedded.home import open_home
from infra.embedded.logs import log_path, tail
from infra.embedded.processes import stop_processes
from infra.embedded.signals import StopRequested, stop_signals_raise
from infra.embedded.stack import DEFAULT_KAFKA_HEAP_MB, Endpoints, read_endpoints, read_owner, start
from schemas.errors import MillstreamError

LOG_NAME = "stack"
_START_TIMEOUT_S = 900.0
"""Long enough for a download over a slow line."""
_STOP_TIMEOUT_S = 90.0
_POLL_S = 0.1


def start_in_background(
    home: Path, *, report: Callable[[str], None], kafka_heap_mb: int = DEFAULT_KAFKA_HEAP_MB
) -> Endpoints:
    """Start the stack of this home in a process of its own that stays; an already running one is only reported.

    Raises:
        ChildFailed: it did not start; the message is that of the background process.
    """
    running = read_endpoints(home)
    if running is not None:
        report(f"The stack runs already in {home}")
        return running
    place = open_home(home)
    path = log_path(place.logs, LOG_NAME)
    with path.open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.embedded.background", str(place.folder), str(kafka_heap_mb)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_TIMEOUT_S
    with path.open("rb") as written:
        written.seek(begin)
        rest = b""
        while True:
            ended = process.poll() is not None
            endpoints = read_endpoints(home)
            *lines, rest = (rest + written.read()).split(b"\n")
            for line in lines:
                kind, _, text = line.decode("utf-8", errors="replace").partition(": ")
                if kind == "report":
                    report(json.loads(text))
            if endpoints is not None:
                return endpoints
            if ended:
                raise _failure(path)
            if time.monotonic() > deadline:
                process.terminate()
                raise ChildFailed("the stack did not start in time", remedy=f"see {path}")
            time.sleep(_POLL_S)


def _failure(path: Path) -> StackError:
    """The error that the background process wrote last."""
    for line in reversed(tail(path, 20)):
        kind, _, text = line.partition(": ")
        if kind == "failed":
            found = json.loads(text)
            return ChildFailed(found["message"], remedy=found["remedy"])
    return ChildFailed(f"the stack did not start: {' | '.join(tail(path, 3))}", remedy=f"see {path}")


def stop_stack(home: Path, *, report: Callable[[str], None]) -> None:
    """End the process that runs the stack of this home, whichever it is; it stops its servers in order.

    Raises:
        NotRunning: nothing runs there.
    """
    owner = read_owner(home)
    if owner is None:
        raise NotRunning(f"no stack runs in {home}", remedy="start it with: millstream stack start")
    report(f"Stopping the stack in {home} (process {owner.pid})")
    stop_processes({owner: signal.SIGTERM}, timeout_s=_STOP_TIMEOUT_S)


def _say(kind: str, value: object) -> None:
    sys.stdout.write(f"{kind}: {json.dumps(value)}\n")
    sys.stdout.flush()


def main() -> None:
    """Run until SIGTERM or SIGINT, or until a server is gone for good."""
    home, heap_mb = Path(sys.argv[1]), int(sys.argv[2])
    try:
        with (
            stop_signals_raise(),
            start(home, report=lambda line: _say("report", line), kafka_heap_mb=heap_mb) as stack,
        ):
            if not stack.joined:
                stack.wait()
    except StopRequested:
        return
    except MillstreamError as error:
        _say("failed", {"message": str(error), "remedy": error.remedy})
        sys.exit(1)


if __name__ == "__main__":
    main()
