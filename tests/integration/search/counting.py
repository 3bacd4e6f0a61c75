"""Counting and its oracle, for all tests of the engine."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streams.search.engine import (
    CountQuery,
    CountRequest,
    CountResult,
    GitEngine,
)
from tests.support import brute_force
from tests.support.repositories import (
    Content,
    RepositoryBuilder,
)

START = datetime(2024, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def count(
    repository: Path,
    *queries: str,
    at: Sequence[datetime],
    pattern_type: str = "literal",
    kind: str = "search",
    engine: GitEngine | None = None,
    timeout_s: float | None = None,
    branch: str | None = None,
) -> CountResult:
    request = CountRequest(
        queries=tuple(
            CountQuery(
                key=query,
                query=query,
                pattern_type="regexp" if pattern_type == "regexp" else "literal",
                kind="capture" if kind == "capture" else "search",
                instants=tuple(at),
            )
            for query in queries
        )
    )
    return (engine or GitEngine()).count(repository, branch, request, timeout_s=timeout_s)


def values(result: CountResult, query: str) -> list[int]:
    return [cell.value for cell in result.cells[query]]


FRAMES = [day(number) for number in (0, 1, 2, 3.5, 5, 6, 6.5, 6.7, 7, 8, 9, 10, 11, 13, 15, 17, 19, 21, 30)]


def brute(
    repository: Path,
    source: str,
    at: Sequence[datetime],
    *,
    path: Callable[[bytes], bool] = lambda _: True,
    case_sensitive: bool = False,
) -> list[int]:
    pattern = brute_force.compiled(source, case_sensitive=case_sensitive)
    cache: dict[str, bytes] = {}
    return [
        brute_force.count_at(
            repository,
            brute_force.commit_at(repository, "HEAD", instant),
            lambda name, text: len(brute_force.occurrences(pattern, text)) if path(name) else 0,
            cache,
        )
        for instant in at
    ]


def one_commit(tmp_path: Path, files: dict[str, bytes]) -> Path:
    builder = RepositoryBuilder(tmp_path / "repo")
    changes: dict[str, Content] = {**files}
    builder.commit(day(1), changes)
    return builder.build()
