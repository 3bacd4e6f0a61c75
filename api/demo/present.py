"""The chart follows the present: a commit to a sample repository, told as a git hook tells it, moves the last point."""

import os
import signal
import time
from pathlib import Path

import msgspec

from api.cli.client import Client
from api.demo import questions
from api.demo.following import DemoFailed, wait_until
from api.demo.samples import NEW_API, commit_one_call
from api.demo.system import Report, System
from schemas.errors import MillstreamError


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One commit, and the last point of the series ``label`` before and after it."""

    repository: str
    commit: str
    label: str
    before: int
    after: int
    seconds: float
    """From the commit to the answer that shows the new sum."""


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """The projector was killed, and a commit came while it was down."""

    killed_pid: int
    moved: Moved
    seconds: float
    """From the kill to the answer that shows what came meanwhile."""


class Sample(msgspec.Struct, frozen=True):
    """The repository that is committed to: its GraphQL id, name and folder, and the insight that shows it."""

    id: str
    name: str
    path: Path
    insight: str


def commit_and_watch(client: Client, system: System, sample: Sample) -> tuple[Moved, float]:
    """Commit one more call of the new API, tell, and wait for the last point to move; and when it began, by the monotonic clock.

    Raises DemoFailed.
    """
    label, before = _last_point(client, system, sample)
    began_s = time.monotonic()
    commit = commit_one_call(sample.path)
    client.ask(questions.NOTIFY, {"repository": sample.id}, questions.NotifyAnswer)
    after = _until_moved(client, system, sample, before)
    moved = Moved(
        repository=sample.name,
        commit=commit,
        label=label,
        before=before,
        after=after,
        seconds=time.monotonic() - began_s,
    )
    return moved, began_s


def kill_and_watch(client: Client, system: System, sample: Sample, report: Report) -> Recovered | None:
    """SIGKILL the projector while a commit is on its way; None where another process runs it. Raises DemoFailed."""
    pid = _projector(system)
    if pid is None:
        return None
    label, before = _last_point(client, system, sample)
    report(f"Killing the projector (process {pid}) with SIGKILL, and committing while it is down")
    began_s = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_until(system, lambda: _projector(system) != pid or None, "the projector did not end")
    commit = commit_one_call(sample.path)
    told_s = time.monotonic()
    client.ask(questions.NOTIFY, {"repository": sample.id}, questions.NotifyAnswer)
    after = _until_moved(client, system, sample, before)
    now_s = time.monotonic()
    moved = Moved(
        repository=sample.name,
        commit=commit,
        label=label,
        before=before,
        after=after,
        seconds=now_s - told_s,
    )
    return Recovered(killed_pid=pid, moved=moved, seconds=now_s - began_s)


def problem_of(moved: Moved) -> MillstreamError | None:
    """One call was added, so the sum has to be one more."""
    if moved.after == moved.before + 1:
        return None
    return DemoFailed(
        f"a commit with one more call moved {moved.label} from {moved.before} to {moved.after}",
        remedy="see millstream logs worker; run millstream verify",
    )


def _projector(system: System) -> int | None:
    if system.services is None:
        return None
    found = {status.name: status.process for status in system.services.status()}
    process = found.get("projector")
    return None if process is None else process.pid


def _last_point(client: Client, system: System, sample: Sample) -> tuple[str, int]:
    """Label and value of the series that counts the new API, once it has a last point."""
    return wait_until(system, lambda: next(iter(_read(client, sample)), None), "the chart has no last point")


def _until_moved(client: Client, system: System, sample: Sample, before: int) -> int:
    def moved() -> int | None:
        return next((value for _, value in _read(client, sample) if value != before), None)

    return wait_until(system, moved, "the last point did not move")


def _read(client: Client, sample: Sample) -> list[tuple[str, int]]:
    answer = client.ask(questions.LAST_POINTS, {"id": sample.insight}, questions.LastPointsAnswer)
    return [
        (series.label, int(series.snapshot.value))
        for node in answer.insight_views.nodes
        for series in node.data_series
        if series.query == NEW_API and series.snapshot is not None
    ]
