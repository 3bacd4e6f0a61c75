"""Repositories and insights that browser tests look at, made through the API as anybody would."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.grid import Interval, TimeUnit
from tests.support.repositories import RepositoryBuilder, blob_id, remove_object
from tests.support.system import RunningSystem, eventually

MONTH = Interval(TimeUnit.MONTH)
FRAMES = 6
HOST = f"browser-{uuid.uuid4().hex[:8]}.test"
"""Of this run alone, so that nothing counted before is met."""
_A_DAY = timedelta(days=1)
_CREATE = """
mutation ($input: LineChartSearchInsightInput!) {
  createLineChartSearchInsight(input: $input) { view { id databaseID } }
}"""
_LOADING = "query ($id: ID!) { insightViews(id: $id) { nodes { isLoadingData } } }"


def frame_times() -> list[str]:
    """The frames of an insight made now, as the API writes them."""
    return [f"{MONTH.instant(index):%Y-%m-%dT%H:%M:%SZ}" for index in MONTH.newest(FRAMES, datetime.now(UTC))]


def add_repositories(system: RunningSystem, folder: Path) -> None:
    """``whole`` grows from 2 to 7 needles, ``holed`` lacks an object from the third frame on, ``zero`` has none."""
    frames = MONTH.newest(FRAMES, datetime.now(UTC))
    whole = RepositoryBuilder(folder / "whole")
    zero = RepositoryBuilder(folder / "zero")
    for step, index in enumerate(frames):
        before = MONTH.instant(index) - _A_DAY
        whole.commit(before, {"a.txt": "needle needle\n" + "needle\n" * step})
        zero.commit(before, {"a.txt": f"hay {step}\n"})
    holed = RepositoryBuilder(folder / "holed")
    holed.commit(MONTH.instant(frames[0]) - _A_DAY, {"a.txt": "needle\n"})
    holed.commit(MONTH.instant(frames[2]) - _A_DAY, {"b.txt": "needle needle\n"})
    whole.build()
    zero.build()
    broken = holed.build()
    remove_object(broken, blob_id(broken, "main", "b.txt"))
    for name in ("whole", "holed", "zero"):
        system.cli("repo", "add", str(folder / name), "--name", f"{HOST}/{name}", "--wait")


def create(
    system: RunningSystem,
    title: str,
    series: Sequence[Mapping[str, object]],
    *,
    wait: bool = True,
) -> tuple[str, str]:
    """(path of its page, node id). Each series is a ``LineChartSearchInsightDataSeriesInput``."""
    made = system.graphql(
        _CREATE,
        {
            "input": {
                "options": {"title": title},
                "dataSeries": list(series),
                "timeScope": {"stepInterval": {"unit": "MONTH", "value": 1}},
                "repositoryScope": {"repositories": []},
                "frames": FRAMES,
            }
        },
    )["createLineChartSearchInsight"]["view"]
    if wait:
        eventually(
            lambda: (
                not system.graphql(_LOADING, {"id": made["id"]})["insightViews"]["nodes"][0]["isLoadingData"]
            ),
            f"{title} to be counted",
            timeout_s=60,
        )
    return f"/insights/{made['databaseID']}", made["id"]


def line(label: str, query: str, *names: str, criteria: str | None = None) -> dict[str, object]:
    """A series over the named repositories of this run, or over ``criteria``."""
    scope: dict[str, object] = {"repositories": [f"{HOST}/{name}" for name in names]}
    if criteria is not None:
        scope["repositoryCriteria"] = criteria
    return {"query": query, "options": {"label": label}, "repositoryScope": scope}
