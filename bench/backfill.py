"""How much faster than one ``git grep`` per frame is a backfill?

    python -m bench.backfill [REPO ...] [--repeat N] [--engine-only]

For each repository a bare clone is made; then, cold (nothing kept between runs but what the system itself caches),
12 and 100 frames are counted for 1 and 10 patterns by the engine, and by ``git grep`` at each frame's commit: once per
pattern, and once with all patterns as ``-e``. Counts are asserted equal. Speed-ups are ratios of the best of N runs,
taken in turns. The ceiling of a speed-up is how often ``git grep`` reads what the engine reads once: file instances over
distinct blobs, times the number of patterns where each has a ``git grep`` of its own. Then ``bench.system_share`` measures
how much of a backfill through the whole system is counting.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from bench import system_share
from bench.sample import sample_repository
from schemas.grid import Interval, TimeUnit
from streams.search.engine import (
    CountQuery,
    CountRequest,
    CountResult,
    GitEngine,
    SearchLimits,
    default_branch,
    describe,
)

PATTERNS = (
    "TODO", "FIXME", "deprecated", "import logging", "raise ValueError",
    "logger.", "subprocess", "assert ", "http://", "def __init__(",
)  # fmt: skip
_UNITS = (TimeUnit.MONTH, TimeUnit.WEEK, TimeUnit.DAY, TimeUnit.HOUR)
_ENVIRONMENT = {**os.environ, "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


T = TypeVar("T")


class Case(NamedTuple):
    """Times in seconds of one repository, number of frames and number of patterns."""

    frames: int
    patterns: int
    engine_s: float
    greps_s: float
    one_grep_s: float
    files: int
    blobs: int


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Exits with 1 when a count differs."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.backfill", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("repositories", nargs="*", type=Path, metavar="REPO", help="default: a generated one")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the best counts")
    parser.add_argument("--engine-only", action="store_true", help="leave the whole system out")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        repositories = options.repositories or [sample_repository(folder / "sample")]
        clones = [_bare_clone(path, folder / f"{number}.git") for number, path in enumerate(repositories)]
        cases = [
            case
            for clone, path in zip(clones, repositories, strict=True)
            for case in measure(clone, path.name, options.repeat)
        ]
        shared = clones if options.repositories else system_share.samples(folder)
        shares = {} if options.engine_only else system_share.measure(shared)
        figures = {**summary(cases), **shares}
    print(json.dumps({"bench": "backfill", "checked": True, "figures": figures}))


def measure(repository: Path, name: str, repeat: int) -> list[Case]:
    """All cases of one bare repository. Raises SystemExit when a count differs."""
    cases = []
    for frames, patterns in ((12, 1), (12, 10), (100, 1)):
        case = _case(repository, newest_frames(repository, frames), PATTERNS[:patterns], repeat)
        print(_line(name, case), flush=True)
        cases.append(case)
    return cases


def _case(repository: Path, instants: Sequence[datetime], patterns: Sequence[str], repeat: int) -> Case:
    runs = [_run(repository, instants, patterns) for _ in range(repeat)]
    return runs[0]._replace(
        engine_s=min(run.engine_s for run in runs),
        greps_s=min(run.greps_s for run in runs),
        one_grep_s=min(run.one_grep_s for run in runs),
    )


def _run(repository: Path, instants: Sequence[datetime], patterns: Sequence[str]) -> Case:
    result, engine_s = _timed(lambda: _count(repository, patterns, instants))
    commits = [cell.commit for cell in result.cells[patterns[0]]]
    counts, greps_s = _timed(
        lambda: {text: [_grep(repository, commit, [text]) for commit in commits] for text in patterns}
    )
    at_once, one_grep_s = _timed(lambda: [_grep(repository, commit, patterns) for commit in commits])
    _check(result, counts, at_once)
    return Case(len(instants), len(patterns), engine_s, greps_s, one_grep_s, result.files, result.blobs)


def summary(cases: Sequence[Case]) -> dict[str, float]:
    """Speed-ups and ceilings over all repositories together."""
    figures: dict[str, float] = {}
    for frames, patterns in ((12, 1), (12, 10), (100, 1)):
        chosen = [case for case in cases if (case.frames, case.patterns) == (frames, patterns)]
        key = f"{frames}_{patterns}"
        engine_s = sum(case.engine_s for case in chosen)
        files, blobs = sum(case.files for case in chosen), sum(case.blobs for case in chosen)
        figures[f"speedup_{key}"] = round(sum(case.greps_s for case in chosen) / engine_s, 2)
        figures[f"ceiling_{key}"] = round(files / max(1, blobs) * patterns, 2)
        if patterns > 1:
            figures[f"speedup_{key}_one_grep"] = round(sum(case.one_grep_s for case in chosen) / engine_s, 2)
    return figures


def newest_frames(repository: Path, count: int) -> list[datetime]:
    """The newest grid instants, of the widest unit that fits ``count`` times into the history."""
    state = describe(repository)
    if state.first_commit_at is None or state.last_commit_at is None:
        raise SystemExit(f"{repository} has no commit")
    for unit in _UNITS:
        interval = Interval(unit)
        instants = [interval.instant(index) for index in interval.newest(count, state.last_commit_at)]
        if instants[0] >= state.first_commit_at:
            break
    return instants


def _count(repository: Path, patterns: Sequence[str], instants: Sequence[datetime]) -> CountResult:
    engine = GitEngine(SearchLimits(max_file_size_bytes=1 << 40))  # git grep knows no limit
    queries = tuple(
        CountQuery(key=text, query=f"content:{json.dumps(text)}", instants=tuple(instants))
        for text in patterns
    )
    return engine.count(repository, None, CountRequest(queries=queries))


def _grep(repository: Path, commit: str | None, patterns: Sequence[str]) -> int:
    if commit is None:
        return 0
    options = [word for text in patterns for word in ("-e", text)]
    found = subprocess.run(
        ["git", "-C", str(repository), "grep", "-I", "-h", "-o", "-i", "-F", *options, commit],
        env=_ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    if found.returncode > 1:
        raise SystemExit(f"git grep failed: {found.stderr.decode(errors='replace')}")
    return found.stdout.count(b"\n")


def _check(result: CountResult, counts: Mapping[str, Sequence[int]], at_once: Sequence[int]) -> None:
    for text, expected in counts.items():
        counted = [cell.value for cell in result.cells[text]]
        if counted != list(expected):
            raise SystemExit(f"counts of {text!r} differ: {counted} here, {list(expected)} by git grep")
    # No two of the patterns can overlap, so the one grep for all finds what all of them find.
    summed = [sum(frame) for frame in zip(*counts.values(), strict=True)]
    if summed != list(at_once):
        raise SystemExit(f"one git grep for all patterns found {list(at_once)}, each by itself {summed}")


def _bare_clone(repository: Path, target: Path) -> Path:
    subprocess.run(
        ["git", "-c", "safe.directory=*", "clone", "-q", "--bare", "--local", str(repository), str(target)],
        env=_ENVIRONMENT,
        check=True,
    )
    branch = default_branch(repository)
    if branch not in (None, "HEAD"):
        subprocess.run(["git", "-C", str(target), "symbolic-ref", "HEAD", f"refs/heads/{branch}"], check=True)
    return target


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started


def _line(name: str, case: Case) -> str:
    return (
        f"{name}: {case.frames} frames, {case.patterns} patterns: engine {case.engine_s:.3f} s, "
        f"git grep {case.greps_s:.3f} s ({case.greps_s / case.engine_s:.1f}x), "
        f"one git grep for all {case.one_grep_s:.3f} s ({case.one_grep_s / case.engine_s:.1f}x), "
        f"{case.files} files, {case.blobs} blobs"
    )


if __name__ == "__main__":
    main()
