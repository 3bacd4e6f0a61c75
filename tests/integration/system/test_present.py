"""A chart follows the present: a commit in a repository with the hook moves the last point, seen by GraphQL."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.repositories import RepositoryBuilder, git
from tests.support.system import RunningSystem, eventually

_MILLSTREAM = (sys.executable, "-m", "api.cli.main")
_CREATE = """
mutation ($input: LineChartSearchInsightInput!) {
  createLineChartSearchInsight(input: $input) { view { id } position }
}"""
_READ = """
query ($id: ID!) { insightViews(id: $id) { nodes { isLoadingData dataSeries {
  values snapshot { value } } } } }"""


@pytest.fixture(scope="module")
def clone(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a work tree, followed, whose commits are told."""
    builder = RepositoryBuilder(tmp_path_factory.mktemp("present") / "app", bare=False)
    builder.commit(datetime.now(UTC) - timedelta(days=90), {"a.txt": "needle needle\n"})
    path = builder.build()
    system.cli("repo", "add", str(path), "--name", "present.test/app", "--wait")
    hook = path / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_bytes(system.cli("repo", "notify", "--hook").stdout)
    hook.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def insight(system: RunningSystem, clone: Path) -> str:
    made = system.graphql(
        _CREATE,
        {
            "input": {
                "options": {"title": "present"},
                "dataSeries": [{"query": "needle", "options": {"label": "needles"}}],
                "repositoryScope": {"repositories": ["present.test/app"]},
                "timeScope": {"stepInterval": {"unit": "MONTH", "value": 1}},
                "frames": 2,
            }
        },
    )
    return str(made["createLineChartSearchInsight"]["view"]["id"])


def _newest(system: RunningSystem, identifier: str) -> float | None:
    series: Mapping[str, Any] = system.graphql(_READ, {"id": identifier})["insightViews"]["nodes"][0][
        "dataSeries"
    ][0]
    return None if series["snapshot"] is None else float(series["snapshot"]["value"])


def test_a_commit_moves_the_last_point_through_the_hook(
    system: RunningSystem, clone: Path, insight: str
) -> None:
    eventually(lambda: _newest(system, insight) == 2, "the first count of the present", timeout_s=60)
    (clone / "b.txt").write_text("needle\n")
    git(clone, "add", "b.txt")
    git(clone, "commit", "-q", "-m", "one more")
    eventually(lambda: _newest(system, insight) == 3, "the moved point", timeout_s=60)


def test_notify_names_a_repository_by_name_path_and_folder(system: RunningSystem, clone: Path) -> None:
    for given in ("present.test/app", str(clone)):
        assert b"present.test/app" in system.cli("repo", "notify", given).stdout
    below = clone / "deep"
    below.mkdir()
    said = subprocess.run(
        [*_MILLSTREAM, "repo", "notify", "--strict"],
        cwd=below,
        env=dict(system.environ),
        capture_output=True,
        check=True,
    )
    assert b"present.test/app" in said.stdout


def test_notify_never_fails_a_hook_unless_it_is_told_to(system: RunningSystem, tmp_path: Path) -> None:
    quiet = system.cli("repo", "notify", "nobody.test/follows-this")
    assert (quiet.stdout, quiet.stderr.count(b"\n")) == (b"", 1)
    assert b"is not followed" in quiet.stderr
    strict = system.cli("repo", "notify", "nobody.test/follows-this", "--strict", expect=1)
    assert b"what to do:" in strict.stderr
    environ = {**system.environ, "MILLSTREAM_URL": "http://127.0.0.1:9"}
    gone = subprocess.run(
        [*_MILLSTREAM, "repo", "notify", "x/y"], env=environ, capture_output=True, check=True
    )
    assert gone.stderr.count(b"\n") == 1
