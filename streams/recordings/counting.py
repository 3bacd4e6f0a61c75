"""From dispatched requests to one pass over a repository, and from its counts to results. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from schemas.events import (
    CountingStatistics,
    DispatchedRequest,
    FailedSeries,
    IncompleteCell,
    IndexRange,
    RequestedSeries,
    SearchCompleted,
    SearchFailed,
    SeriesKind,
    SeriesResult,
)
from schemas.grid import Interval
from schemas.ids import derived_event_id
from schemas.limits import shortened
from streams.recordings.dispatch import MAX_ATTEMPTS
from streams.search.engine import Cell, CountQuery, CountRequest, CountResult
from streams.search.query import QueryError, parse, validate_for_insight

MAX_RESULT_BYTES: Final = 800_000
"""Of one result's series; the envelope and its headers fit above it, below what the log takes."""
MAX_CAPTURE_BYTES: Final = 100
_ENTRY_BYTES: Final = 50
"""An index, a value and the place of a commit, with their punctuation."""
_COMMIT_BYTES: Final = 70
"""A commit id of up to 64 digits; once per frame at most."""
_REF_BYTES: Final = 5
"""By which a reference may grow in the table of the whole event."""
_QUOTED_BYTES: Final = 3
_NUL_PICTURE: Final = "\u2400"
TOO_LARGE: Final = "result-too-large"
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
                    Interval(series.unit, series.value).instant(index) for index in _indexes(series)
                ),
            )
            for number, task in enumerate(tasks)
            for place, series in enumerate(task.series)
        )
    )


def completed(tasks: Sequence[Task], result: CountResult) -> list[SearchCompleted]:
    """The results of a pass, per request, split where one would be too large for the log.

    What the pass cost stands in its first result only, so that sums over results are true.
    """
    found: list[SearchCompleted] = []
    cost = CountingStatistics(
        files=result.files,
        blobs=result.blobs,
        size_bytes=result.size_bytes,
        duration_s=result.duration_s,
        skipped=dict(result.skipped),
    )
    for number, task in enumerate(tasks):
        parts = [
            part
            for place, series in enumerate(task.series)
            for part in _series_results(
                series, result.cells[f"{number}:{place}"], result.captures.get(f"{number}:{place}")
            )
        ]
        request = task.dispatched.request
        for split, group in enumerate(_packed(parts), start=1):
            table, results = _with_table(group)
            found.append(
                SearchCompleted(
                    request_id=request.request_id,
                    repository_id=request.repository_id,
                    insight_id=request.insight_id,
                    attempt=task.dispatched.attempt,
                    matcher_version=result.matcher_version,
                    engine=result.engine,
                    series=results,
                    commits=table,
                    statistics=cost,
                    split=split,
                )
            )
            cost = CountingStatistics()
    return found


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


def completed_id(payload: SearchCompleted) -> str:
    """Follows from request, attempt and split."""
    parts = () if payload.split == 1 else (payload.split,)
    return derived_event_id(
        "search.completed", payload.repository_id, payload.request_id, payload.attempt, *parts
    )


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


def _indexes(series: RequestedSeries) -> Iterator[int]:
    return (index for start, end in series.frames for index in range(start, end))


def _series_results(
    series: RequestedSeries, cells: Sequence[Cell], captures: Sequence[Mapping[str, int]] | None
) -> Iterator["_Part"]:
    """One result, or several with parts of the frames where captured values make it large."""
    rows: list[_Row] = []
    size_bytes = 0
    for place, (index, cell) in enumerate(zip(_indexes(series), cells, strict=True)):
        row = _row(
            index, cell, None if captures is None or series.kind is SeriesKind.SEARCH else captures[place]
        )
        if rows and size_bytes + row.size_bytes > MAX_RESULT_BYTES:
            yield _part(series, rows)
            rows, size_bytes = [], 0
        rows.append(row)
        size_bytes += row.size_bytes
    yield _part(series, rows)


class _Row(msgspec.Struct, frozen=True):
    """One frame: complete with its entries (captured value, count), or incomplete with its reason."""

    index: int
    value: int
    commit: str | None
    entries: tuple[tuple[str, int], ...]
    incomplete: str | None
    size_bytes: int


class _Part(msgspec.Struct, frozen=True):
    """A result, or some frames of it, whose ``commit_refs`` are places in ``commits``."""

    result: SeriesResult
    commits: tuple[str, ...]


def _row(index: int, cell: Cell, captures: Mapping[str, int] | None) -> _Row:
    incomplete: str | None = None
    entries: tuple[tuple[str, int], ...] = ()
    size_bytes = 0
    if cell.complete:
        counted = {"": cell.value} if captures is None else _cut(captures)
        entries = tuple(sorted((label, value) for label, value in counted.items() if value))
        size_bytes = _COMMIT_BYTES + sum(
            len(msgspec.json.encode(label)) + _ENTRY_BYTES for label, _ in entries
        )
    if not cell.complete or size_bytes > MAX_RESULT_BYTES:
        incomplete = cell.reason or TOO_LARGE
        entries, size_bytes = (), 150
    return _Row(index, cell.value, cell.commit, entries, incomplete, size_bytes)


def _part(series: RequestedSeries, rows: Sequence[_Row]) -> _Part:
    entries = [(row, label, value) for row in rows for label, value in row.entries]
    places: dict[str, int] = {}

    def place(commit: str) -> int:
        return places.setdefault(commit, len(places))

    result = SeriesResult(
        series_id=series.series_id,
        unit=series.unit,
        value=series.value,
        covered=_ranges(row.index for row in rows if row.incomplete is None),
        indexes=[row.index for row, _, _ in entries],
        values=[value for _, _, value in entries],
        commit_refs=[place(row.commit or "") for row, _, _ in entries],
        captures=None if series.kind is SeriesKind.SEARCH else [label for _, label, _ in entries],
        incomplete=[
            IncompleteCell(
                index=row.index,
                value=row.value,
                reason=row.incomplete,
                commit_ref=None if row.commit is None else place(row.commit),
            )
            for row in rows
            if row.incomplete is not None
        ],
    )
    return _Part(result, tuple(places))


def _packed(parts: Sequence[_Part]) -> list[list[_Part]]:
    """Parts that fit into one event together, their commits counted once."""
    groups: list[list[_Part]] = [[]]
    table: set[str] = set()
    size_bytes = 0
    for part in parts:
        own_bytes = len(msgspec.json.encode(part.result)) + _REF_BYTES * len(part.result.commit_refs)
        commit_bytes = sum(len(commit) + _QUOTED_BYTES for commit in part.commits if commit not in table)
        if groups[-1] and size_bytes + own_bytes + commit_bytes > MAX_RESULT_BYTES:
            groups.append([])
            table, size_bytes = set(), 0
            commit_bytes = sum(len(commit) + _QUOTED_BYTES for commit in part.commits)
        groups[-1].append(part)
        table.update(part.commits)
        size_bytes += own_bytes + commit_bytes
    return groups


def _with_table(parts: Iterable[_Part]) -> tuple[list[str], list[SeriesResult]]:
    """The commits of several parts, each once, and the results that refer to them."""
    places: dict[str, int] = {}
    results: list[SeriesResult] = []
    for part in parts:
        moved = [places.setdefault(commit, len(places)) for commit in part.commits]
        results.append(
            msgspec.structs.replace(
                part.result,
                commit_refs=[moved[ref] for ref in part.result.commit_refs],
                incomplete=[
                    cell
                    if cell.commit_ref is None
                    else msgspec.structs.replace(cell, commit_ref=moved[cell.commit_ref])
                    for cell in part.result.incomplete
                ],
            )
        )
    return list(places), results


def _ranges(indexes: Iterable[int]) -> list[IndexRange]:
    found: list[IndexRange] = []
    for index in sorted(indexes):
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


def _cut(captures: Mapping[str, int]) -> dict[str, int]:
    """Captured values cut to 100 bytes; those that are equal then are one.

    A NUL, which no database keeps as text, is shown by its picture.
    """
    found: dict[str, int] = {}
    for label, value in captures.items():
        cut = (
            label.replace("\0", _NUL_PICTURE)
            .encode("utf-8", "replace")[:MAX_CAPTURE_BYTES]
            .decode("utf-8", "ignore")
        )
        found[cut] = found.get(cut, 0) + value
    return found
