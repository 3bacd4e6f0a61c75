"""What the demo shows after the past was counted: one commit that is seen everywhere, a process that is killed, an upload, and the replay."""

import time
from typing import Final

from api.cli.client import Client
from api.demo import indexes, monitoring, present, uploading
from api.demo.choices import Choice, Chosen
from api.demo.figures import Present, Verified
from api.demo.following import DemoFailed, followed
from api.demo.present import Sample, commit_and_watch, kill_and_watch
from api.demo.system import Report, System
from projections.verification.verify import Outcome as Compared
from projections.verification.verify import verify
from schemas.errors import MillstreamError

_VERIFY_TIMEOUT_S: Final = 120.0


def show_present(client: Client, system: System, choice: Choice, insight: str, report: Report) -> Present:
    """A commit moves the chart and wakes a monitor, a killed projector comes back, an index answers, and the tables are what the log says.

    Raises DemoFailed.
    """
    moved = caught = recovered = uploaded = None
    chosen = _sample(system, choice)
    if chosen is not None and chosen.path is not None:
        (answer,) = followed(client, [chosen])
        sample = Sample(answer.id, chosen.name, chosen.path, insight)
        if not system.sends_to_loopback:
            report("  (no monitor is shown: this Millstream's worker was not started to send to loopback)")
        with monitoring.watching(client, system, sample.name) as watch:
            moved, committed_s = commit_and_watch(client, system, sample)
            if watch is not None:
                caught = watch.caught(client, system, moved.commit, committed_s)
        recovered = kill_and_watch(client, system, sample, report)
    index = indexes.choose(choice.repositories, chosen)
    if index is not None:
        uploaded = uploading.upload_and_watch(client, system, index)
    report("Replaying the log beside the tables, to compare them row for row")
    return Present(
        moved=moved, caught=caught, recovered=recovered, uploaded=uploaded, verified=_verified(system)
    )


def problem_of(shown: Present) -> MillstreamError | None:
    """Why it is not good, though it could be shown."""
    moves = (shown.moved, None if shown.recovered is None else shown.recovered.moved)
    found = [
        *(present.problem_of(one) for one in moves if one is not None),
        None if shown.caught is None else monitoring.problem_of(shown.caught),
        None if shown.uploaded is None else uploading.problem_of(shown.uploaded),
        _problem_of_rows(shown.verified),
    ]
    return next((one for one in found if one is not None), None)


def _verified(system: System) -> Verified:
    began_s = time.monotonic()
    compared = verify(system.settings, timeout_s=_VERIFY_TIMEOUT_S)
    return Verified(
        projections=len(compared),
        events=sum(one.events for one in compared),
        rows=sum(one.rows for one in compared),
        different=sum(one.different for one in compared),
        seconds=time.monotonic() - began_s,
        refused=[f"{one.projection}: {one.reason}" for one in compared if one.outcome is Compared.REFUSED],
    )


def _problem_of_rows(verified: Verified) -> MillstreamError | None:
    if verified.different:
        return DemoFailed(
            f"{verified.different} rows are not what the log says", remedy="run millstream verify"
        )
    if verified.refused:
        return DemoFailed(
            f"the tables could not be compared: {verified.refused[0]}", remedy="run millstream verify"
        )
    return None


def _sample(system: System, choice: Choice) -> Chosen | None:
    """The first sample among the repositories; nobody else's repository is committed to."""
    folder = (system.settings.home / "samples").resolve()
    return next(
        (
            one
            for one in choice.repositories
            if one.path is not None and one.path.resolve().is_relative_to(folder)
        ),
        None,
    )
