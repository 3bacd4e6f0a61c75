"""From dispatched requests to one pass over a repository, and to its failures. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from schemas.events import (
    DispatchedRequest,
    FailedSeries,
    RequestedSeries,
    SearchFailed,
    SnapshotTarget,
)
from schemas.grid import Interval
from schemas.ids import derived_event_id
from schemas.limits import shortened
from streams.recordings.dispatch import MAX_ATTEMPTS
from streams.search.engine import CountQuery, CountRequest, SnapshotPoint
from streams.search.query import QueryError, parse, validate_for_insight

INVALID_QUERY: Final = "invalid-query"


class Refused(msgspec.Struct, frozen=True):
    """Series of a request that no attempt can count, because their queries cannot be run."""

    series: list[RequestedSeries]
    message: str


class Task(msgspec.Struct, frozen=True):
    """One request, ready for one pass: its countable series, and those refused."""

    dispatched: DispatchedRequest
    series: list[RequestedSeries]
    refused: Refused | None
    is_timed: bool
    """Whether a query limits the time of the pass: then the request gets a pass of its own."""


def task_of(dispatched: DispatchedRequest) -> Task:
    """Sort the request's series by whether their queries can be run."""
    good: list[RequestedSeries] = []
    bad: list[RequestedSeries] = []
    message = ""
    is_timed = False
    for series in dispatched.request.series:
        try:
            query = parse(series.query, series.pattern_type.value)
            validate_for_insight(query, series.kind.value)
        except QueryError as error:
            bad.append(series)
            message = message or str(error)
        else:
            good.append(series)
            is_timed = is_timed or query.timeout_s is not None
    return Task(dispatched, good, Refused(bad, message) if bad else None, is_timed)


def passes(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks of *one* repository that one pass can serve together."""
    together = [task for task in tasks if task.series and not task.is_timed]
    alone = [[task] for task in tasks if task.series and task.is_timed]
    return ([together] if together else []) + alone


def count_request(tasks: Sequence[Task]) -> CountRequest:
    """What the engine is asked for; a query's key is its place: ``<task>:<series>``."""
    return CountRequest(
        queries=tuple(
            CountQuery(
                key=f"{number}:{place}",
                query=series.query,
                pattern_type=series.pattern_type.value,
                kind=series.kind.value,
                instants=tuple(
                    Interval(series.unit, series.value).instant(index) for index in indexes_of(series)
                ),
                snapshot=_snapshot_point(task.dispatched.request.snapshot, series),
            )
            for number, task in enumerate(tasks)
            for place, series in enumerate(task.series)
        )
    )


def _snapshot_point(target: SnapshotTarget | None, series: RequestedSeries) -> SnapshotPoint | None:
    if target is None or not series.snapshot:
        return None
    return SnapshotPoint(
        commit=target.commit,
        base_commit=target.base_commit,
        base_value=series.base_value,
        base_limits=target.base_limits,
    )


def commits_of(tasks: Iterable[Task]) -> set[str]:
    """The commits that have to be here: those of the snapshots wanted."""
    targets = [task.dispatched.request.snapshot for task in tasks]
    return {target.commit for target in targets if target is not None and target.commit is not None}


def limit_s(tasks: Iterable[Task], policy_s: float) -> float:
    """Longest pass that serves all of ``tasks``: as dispatched, else the worker's own limit."""
    return max((task.dispatched.timeout_s or policy_s for task in tasks), default=policy_s)


def failed(task: Task, reason: str, message: str) -> SearchFailed:
    """A failed attempt at all countable series; the last attempt is final."""
    return _failed(
        task.dispatched, task.series, reason, message, final=task.dispatched.attempt >= MAX_ATTEMPTS
    )


def refused(task: Task) -> SearchFailed | None:
    """The final failure of the series whose queries cannot be run, if there are any."""
    if task.refused is None:
        return None
    return _failed(task.dispatched, task.refused.series, INVALID_QUERY, task.refused.message, final=True)


def failed_id(payload: SearchFailed) -> str:
    """Follows from request and attempt; refused series of the same attempt have an id of their own."""
    parts = (INVALID_QUERY,) if payload.reason == INVALID_QUERY else ()
    return derived_event_id(
        "search.failed", payload.repository_id, payload.request_id, payload.attempt, *parts
    )


def _failed(
    dispatched: DispatchedRequest,
    series: Iterable[RequestedSeries],
    reason: str,
    message: str,
    *,
    final: bool,
) -> SearchFailed:
    request = dispatched.request
    return SearchFailed(
        request_id=request.request_id,
        repository_id=request.repository_id,
        insight_id=request.insight_id,
        attempt=dispatched.attempt,
        reason=reason,
        message=shortened(message),
        final=final,
        series=[
            FailedSeries(series_id=one.series_id, unit=one.unit, value=one.value, frames=one.frames)
            for one in series
        ],
    )


def indexes_of(series: RequestedSeries) -> list[int]:
    """The grid indexes that are asked for, each once, ascending: the ranges of a request may be empty or overlap."""
    return sorted({index for start, end in series.frames for index in range(start, end)})
