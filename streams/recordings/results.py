"""From the counts of a pass to results that fit the log. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from schemas.events import (
    CountingStatistics,
    IncompleteCell,
    IndexRange,
    RequestedSeries,
    SearchCompleted,
    SeriesKind,
    SeriesResult,
    SnapshotCount,
    SnapshotOutcome,
)
from schemas.ids import derived_event_id
from streams.recordings.counting import Task, indexes_of
from streams.search.engine import Cell, CountResult

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
            for part in _series_parts(series, f"{number}:{place}", result)
        ]
        request = task.dispatched.request
        target = request.snapshot
        outcome = (
            None
            if target is None
            else SnapshotOutcome(
                commit=target.commit, pushed_offset=target.pushed_offset, limits=result.limits
            )
        )
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
                    snapshot=outcome if any(one.snapshot is not None for one in results) else None,
                    statistics=cost,
                    split=split,
                )
            )
            cost = CountingStatistics()
    return found


def completed_id(payload: SearchCompleted) -> str:
    """Follows from request, attempt and split."""
    parts = () if payload.split == 1 else (payload.split,)
    return derived_event_id(
        "search.completed", payload.repository_id, payload.request_id, payload.attempt, *parts
    )


def _series_parts(series: RequestedSeries, key: str, result: CountResult) -> Iterator["_Part"]:
    """The frames of one series, and its snapshot beside them where there is one."""
    parts = list(_frame_parts(series, result.cells[key], result.captures.get(key)))
    if key not in result.snapshots:
        yield from parts
        return
    snapshot = _snapshot(series, result.snapshots[key], result.snapshot_captures.get(key))
    if snapshot.captures is None:
        first = msgspec.structs.replace(parts[0].result, snapshot=snapshot)
        yield msgspec.structs.replace(parts[0], result=first)
        yield from parts[1:]
        return
    if indexes_of(series):
        yield from parts
    # A part of its own: so many captured values may not fit beside those of the frames.
    yield _Part(msgspec.structs.replace(_part(series, ()).result, snapshot=snapshot), ())


def _snapshot(series: RequestedSeries, cell: Cell, captures: Mapping[str, int] | None) -> SnapshotCount:
    if series.kind is SeriesKind.SEARCH or captures is None:
        return SnapshotCount(value=cell.value, incomplete=cell.reason)
    counted = {label: value for label, value in sorted(_cut(captures).items()) if value}
    if len(msgspec.json.encode(counted)) > MAX_RESULT_BYTES:
        return SnapshotCount(value=cell.value, incomplete=TOO_LARGE)
    return SnapshotCount(value=cell.value, captures=counted, incomplete=cell.reason)


def _frame_parts(
    series: RequestedSeries, cells: Sequence[Cell], captures: Sequence[Mapping[str, int]] | None
) -> Iterator["_Part"]:
    """One result, or several with parts of the frames where captured values make it large."""
    rows: list[_Row] = []
    size_bytes = 0
    for place, (index, cell) in enumerate(zip(indexes_of(series), cells, strict=True)):
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
