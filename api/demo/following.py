"""Repositories registered, clones awaited, the backfill followed: what the demo does on a running system."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console

from api.cli.client import Client
from api.demo import questions
from api.demo.choices import Chosen, ShallowClone, check_urls
from api.demo.lag import Lag, log_ends, measure
from api.demo.live import Progress, Rate, open_block, until_planned
from api.demo.system import Report, System
from infra.kafka.admin import KafkaAdmin
from schemas.errors import MillstreamError
from schemas.ids import repository_id
from streams.repositories.location import mirror_path

_POLL_S: Final = 0.2
_CLONE_TIMEOUT_S: Final = 1_800.0
_STANDSTILL_S: Final = 120.0
_SAY_EVERY_S: Final = 10.0
_SOON_POLL_S: Final = 0.01
_SOON_S: Final = 60.0
T = TypeVar("T")


class DemoFailed(MillstreamError):
    """The demo could not do what it shows."""


def wait_until(system: System, look: Callable[[], T | None], otherwise: str) -> T:
    """What ``look`` finds, asked often: for what takes about a second. Raises DemoFailed, with ``otherwise``, after a minute."""
    deadline_s = time.monotonic() + _SOON_S
    while (found := look()) is None:
        if time.monotonic() > deadline_s:
            raise DemoFailed(
                f"{otherwise} within {_SOON_S:.0f} s", remedy="see millstream logs worker, and logs projector"
            )
        system.wait(_SOON_POLL_S)
    return found


def register(client: Client, repositories: Sequence[Chosen]) -> int:
    """Register those that are not followed yet, or stood elsewhere; how many these were. Raises NotReachable."""
    known = {answer.name: answer.mirror_info.remote_url for answer in followed(client, repositories)}
    missing = [repository for repository in repositories if known.get(repository.name) != repository.location]
    check_urls(missing)
    for repository in missing:
        place = (
            {"cloneUrl": repository.clone_url} if repository.path is None else {"path": str(repository.path)}
        )
        client.ask(
            questions.ADD_REPOSITORY,
            {"input": {"name": repository.name, **place}},
            questions.AddRepositoryAnswer,
        )
    return len(missing)


def followed(client: Client, repositories: Sequence[Chosen]) -> list[questions.RepositoryAnswer]:
    """Those of the repositories that Millstream follows."""
    names = [repository.name for repository in repositories]
    variables = {"names": names, "first": len(names)}
    return client.ask(questions.REPOSITORIES, variables, questions.RepositoriesAnswer).repositories.nodes


def wait_for_clones(
    client: Client, system: System, repositories: Sequence[Chosen], report: Report
) -> dict[str, Path]:
    """Where each repository can be read, once it can.

    Raises:
        DemoFailed: one cannot be cloned, or not in time.
        ShallowClone: the past of one was cut off.
    """
    began = said = time.monotonic()
    while True:
        answers = followed(client, repositories)
        for answer in answers:
            if answer.mirror_info.last_error and not answer.mirror_info.cloned:
                raise DemoFailed(
                    f"{answer.name} cannot be read: {answer.mirror_info.last_error}",
                    remedy=f"try it by hand: git ls-remote {answer.mirror_info.remote_url}",
                )
            if answer.mirror_info.shallow:
                raise ShallowClone(
                    f"{answer.name} is a shallow clone: its past is missing",
                    remedy=f"git -C {answer.mirror_info.remote_url} fetch --unshallow",
                )
        waiting = {repository.name for repository in repositories} - {
            answer.name for answer in answers if answer.mirror_info.cloned
        }
        now = time.monotonic()
        if not waiting:
            return {
                repository.name: repository.path
                or mirror_path(system.settings.home, repository_id(repository.name))
                for repository in repositories
            }
        if now - began > _CLONE_TIMEOUT_S:
            raise DemoFailed(
                f"{', '.join(sorted(waiting))} is not cloned after {now - began:.0f} s",
                remedy="millstream logs worker",
            )
        if now - said > _SAY_EVERY_S:
            said = now
            report(f"Cloning {', '.join(sorted(waiting))} ({now - began:.0f} s)")
        system.wait(_POLL_S)


def follow(
    client: Client,
    admin: KafkaAdmin,
    system: System,
    insight: str,
    asked_s: float | None,
    expected_cells: int,
    console: Console,
    report: Report,
) -> Lag:
    """Show the backfill until nothing is open; the lag at the end.

    Args:
        insight: its GraphQL id.
        asked_s: when it was asked for, by the monotonic clock; None: in an earlier run.
        expected_cells: how many the whole plan has; until then no total is shown.

    Raises:
        DemoFailed: nothing has moved for a long time.
    """
    rate = Rate(deque() if asked_s is None else deque([(asked_s, 0)]))
    moved, moved_at = (-1, -1), time.monotonic()
    block = open_block(console, report)
    try:
        while True:
            progress = ask_progress(client, admin, insight)
            if asked_s is None and not progress.loading:
                progress = replace(progress, before=True)
            now = time.monotonic()
            if (progress.planned, progress.done + progress.failed) != moved:
                moved, moved_at = (progress.planned, progress.done + progress.failed), now
            # What stands still is judged by what is, not by what is shown.
            shown = until_planned(progress, expected_cells)
            all_done = bool(shown.planned) and shown.done + shown.failed == shown.planned
            block.show(shown, rate.add(now, shown.done, all_done=all_done))
            if not progress.loading:
                return progress.lag
            if now - moved_at > _STANDSTILL_S:
                raise DemoFailed(
                    f"nothing was counted for {_STANDSTILL_S:.0f} s ({progress.done} of {progress.planned} cells, lag {progress.lag})",
                    remedy="see millstream logs worker, and millstream logs projector",
                )
            system.wait(_POLL_S)
    finally:
        block.close()


def ask_progress(client: Client, admin: KafkaAdmin, insight: str) -> Progress:
    """How far the backfill is now. The ends of the log are read before: what comes later is no lag."""
    as_of = client.ask(questions.AS_OF, {}, questions.AsOfAnswer).as_of
    ends = log_ends(admin, as_of)
    answer = client.ask(questions.PROGRESS, {"id": insight}, questions.ProgressAnswer)
    if not answer.insight_views.nodes:
        raise DemoFailed("the insight is not there any more", remedy="run the demo again")
    view = answer.insight_views.nodes[0]
    states = [series.status for series in view.data_series]
    return Progress(
        planned=sum(state.planned_cells for state in states),
        done=sum(state.done_cells for state in states),
        failed=sum(state.failed_cells for state in states),
        loading=view.is_loading_data,
        lag=measure(answer.as_of, ends, datetime.now(UTC)),
    )
