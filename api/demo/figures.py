"""Every figure that the demo prints, as one value; ``--json`` writes it, and a test computes it again from topics and tables."""

import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from api.demo.chain import Chain
from api.demo.definition import InsightWish
from api.demo.lag import Lag
from api.demo.monitoring import Caught
from api.demo.oracle import Cell, Witness, command_that_prints, compare
from api.demo.present import Moved, Recovered
from api.demo.questions import InsightAnswer
from api.demo.uploading import Uploaded

WITNESS_BUDGET_S: Final = 30.0
_MAX_FILE_SIZE_BYTES: Final = 2 * 1024 * 1024


class SeriesFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the chart. ``values`` and ``complete`` are parallel to ``times``; null is missing, not zero."""

    id: str
    label: str
    query: str
    times: list[datetime]
    values: list[float | None]
    complete: list[bool]
    per_repository: dict[str, list[float | None]]


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of this run. ``work_s`` is everything after the start, up to the last figure."""

    download_s: float
    start_s: float
    work_s: float


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """Every projection was replayed from the log and compared. ``different`` counts rows."""

    projections: int
    events: int
    rows: int
    different: int
    seconds: float
    refused: list[str] = []


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """What happened after the past was counted. ``recovered`` and ``caught`` are None where another process runs projector and worker."""

    moved: Moved | None
    caught: Caught | None = None
    recovered: Recovered | None
    uploaded: Uploaded | None = None
    verified: Verified


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. Times in seconds; ``files`` are file instances over all frames, ``blobs`` distinct contents read."""

    insight_id: str
    title: str
    created_position: str
    new: bool
    requests: int
    results: int
    failures: int
    points: int
    cells: int
    cells_done: int
    cells_failed: int
    cells_known: int
    """Those of ``cells_done`` that were known before this insight asked for them."""
    repositories: int
    series: list[SeriesFigures]
    files: int
    blobs: int
    counting_s: float
    backfill_s: float
    git_grep_s: float
    git_grep_cells: int
    git_grep_differences: int
    git_grep_why_not: str
    check_command: str
    check_value: int
    check_where: str
    lag_records: int
    lag_s: float
    page: str
    times: Times
    present: Present | None = None


def collect(
    insight: InsightAnswer,
    chain: Chain,
    wish: InsightWish,
    *,
    new: bool,
    paths: Mapping[str, Path],
    lag: Lag,
    page: str,
    times: Times,
    witness_budget_s: float = WITNESS_BUDGET_S,
) -> tuple[Figures, Witness]:
    """Put the figures together; runs ``git grep`` at every frame (``paths``: where each repository can be read).

    Raises:
        schemas.errors.MillstreamError: a repository cannot be read.
    """
    cells = cells_of(insight, paths)
    excluded = _too_large(cells) if chain.skipped.get("too-large") else {}
    witness = compare(cells, budget_s=witness_budget_s, excluded=excluded)
    shown = command_that_prints(sorted(cells, key=lambda cell: (cell.frame, cell.value), reverse=True))
    series = sorted(insight.data_series, key=lambda one: wish.order(one.query))
    figures = Figures(
        insight_id=insight.database_id,
        title=insight.title,
        created_position=insight.position,
        new=new,
        requests=len(chain.requests),
        results=len(chain.results),
        failures=len(chain.failures),
        points=sum(len(one.points) for one in series),
        cells=sum(one.status.planned_cells for one in series),
        cells_done=sum(one.status.done_cells for one in series),
        cells_failed=sum(one.status.failed_cells for one in series),
        cells_known=max(0, sum(one.status.done_cells for one in series) - len(chain.counted)),
        repositories=len({part.repository.name for one in series for part in one.per_repository}),
        series=[
            SeriesFigures(
                id=one.series_id,
                label=one.label,
                query=one.query,
                times=one.times,
                values=one.values,
                complete=one.complete,
                per_repository={
                    part.repository.name: [point.value for point in part.points]
                    for part in one.per_repository
                },
            )
            for one in series
        ],
        files=chain.files,
        blobs=chain.blobs,
        counting_s=chain.counting_s,
        backfill_s=max(0, chain.last_result_ms - chain.created_ms) / 1000,
        git_grep_s=witness.duration_s,
        git_grep_cells=witness.cells_compared,
        git_grep_differences=len(witness.differences),
        git_grep_why_not=witness.why_not,
        check_command=shown[0] if shown else "",
        check_value=shown[1].value if shown else 0,
        check_where=f"{shown[1].query} in {shown[1].repository} at {shown[1].frame:%Y-%m-%d %H:%M} UTC"
        if shown
        else "",
        lag_records=lag.records,
        lag_s=lag.seconds,
        page=page,
        times=times,
    )
    return figures, witness


def cells_of(insight: InsightAnswer, paths: Mapping[str, Path]) -> list[Cell]:
    """Every counted cell with its commit. A cell of value 0 has none on record: its frame's is looked up."""
    commits: dict[tuple[str, datetime], str | None] = {
        (part.repository.name, point.date_time): point.commit
        for series in insight.data_series
        for part in series.per_repository
        for point in part.points
        if point.commit is not None
    }
    cells: list[Cell] = []
    for series in insight.data_series:
        for part in series.per_repository:
            path = paths[part.repository.name]
            for point in part.points:
                if point.value is None:
                    continue
                key = (part.repository.name, point.date_time)
                if key not in commits:
                    commits[key] = commit_of_frame(path, point.date_time)
                cells.append(
                    Cell(
                        series.query,
                        part.repository.name,
                        path,
                        point.date_time,
                        commits[key],
                        int(point.value),
                        point.complete,
                    )
                )
    return cells


def commit_of_frame(path: Path, frame: datetime) -> str | None:
    """The commit that a frame counts: the first one along first parents that is not after it; None before the first."""
    stamp = int(frame.astimezone(UTC).timestamp())
    command = ["git", "-C", str(path), "rev-list", "-1", "--first-parent", f"--min-age={stamp}", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _too_large(cells: Sequence[Cell]) -> dict[Path, list[str]]:
    """Paths of files above the size that is searched, at any of the commits."""
    found: dict[Path, set[str]] = {}
    for path, commit in {(cell.path, cell.commit) for cell in cells if cell.commit is not None}:
        command = ["git", "-C", str(path), "ls-tree", "-r", "-l", "-z", str(commit)]
        done = subprocess.run(command, capture_output=True, check=False)
        for entry in done.stdout.split(b"\0"):
            head, _, name = entry.partition(b"\t")
            size = head.split()[-1:] or [b"-"]
            if size[0].isdigit() and int(size[0]) > _MAX_FILE_SIZE_BYTES:
                found.setdefault(path, set()).add(name.decode(errors="surrogateescape"))
    return {path: sorted(names) for path, names in found.items()}
