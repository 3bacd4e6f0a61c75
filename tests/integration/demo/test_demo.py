"""The demo from outside: what it prints is true, it finds itself again, joins what runs, and leaves nothing behind."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.demo.figures import Figures
from infra.embedded.stack import read_endpoints, start
from tests.integration.demo.recount import recount, table_values
from tests.integration.demo.running import processes_of, run_demo
from tests.integration.demo.shown import Shown, settings_of, told_by
from tests.integration.demo.staying import stay_and_interrupt
from tests.unit.demo.repositories import make_repository

OLD = datetime.now(UTC) - timedelta(days=200)


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    place = Path(tempfile.mkdtemp(prefix="millstream-demo-test-"))
    try:
        home = place / "home"
        commits = [(OLD, {"a.py": b"legacy_client.get()\nlegacy_client.put()\n"})]
        commits.append((OLD + timedelta(days=120), {"a.py": b"gateway.call()\n"}))
        folder = make_repository(place / "here", commits)
        first = run_demo(home, folder)
        assert first.code == 0, first.story
        assert first.figures is not None
        insight_id = int(first.figures.insight_id)
        with start(home, report=lambda line: None):
            first_recount = recount(settings_of(home), insight_id)
            tables = table_values(settings_of(home), first_recount.series)
            told = [told_by(first, home)]
        second, stayed = stay_and_interrupt(home, folder)
        assert processes_of(home) == [], "it has stopped every child"
        with start(home, report=lambda line: None):
            second_recount = recount(settings_of(home), insight_id)
            told.append(told_by(second, home))
        yield Shown(home, folder, first, second, stayed, first_recount, second_recount, tables, told)
    finally:
        assert processes_of(place / "home") == []
        shutil.rmtree(place, ignore_errors=True)


def test_event_chain_is_what_the_topics_hold(shown: Shown) -> None:
    found, told = shown.figures, shown.first_recount
    assert told.created == [found.created_position]
    assert (found.requests, found.results) == (len(told.requests), len(set(told.completed)))
    assert found.requests == 4
    assert (found.files, found.blobs) == (told.files, told.blobs)
    assert found.counting_s == pytest.approx(told.counting_s)
    assert (found.cells, found.cells_done) == (len(told.planned_cells), len(told.covered_cells))
    assert found.cells == 4 * 2 * 12
    assert found.points == len({(series, frame) for series, frame in told.values}) + len(found.series)
    assert (
        f"insight.created at {told.created[0]} -> 4 requests -> 4 results -> {found.points} points"
        in shown.first.out
    )
    assert (
        f"{told.files:,} files through {told.blobs:,} distinct blobs in {told.counting_s:.2f} s"
        in shown.first.out
    )


def test_values_are_those_of_topics_and_tables(shown: Shown) -> None:
    printed = {
        (series.id, time): value
        for series in shown.figures.series
        for time, value in zip(series.times[:-1], series.values[:-1], strict=True)
    }
    assert printed == shown.first_recount.values
    assert {place: value for place, value in printed.items() if value} == {
        place: value for place, value in shown.tables.items() if value
    }
    for series in shown.figures.series:
        parts = list(series.per_repository.values())
        assert len(parts) == 4
        assert [sum(value or 0 for value in column) for column in zip(*parts, strict=True)] == series.values
        rows = [line.split() for line in shown.first.out.splitlines()]
        row = next(words for words in rows if words[:1] == [series.label] and len(words) == 4)
        first, last = series.values[0], series.values[-1]
        assert first is not None
        assert last is not None
        assert row[1] == f"{first:,.0f}"
        assert row[-1] == f"{last:,.0f}"


def test_last_point_follows_commits_and_the_killed_projector_comes_back(shown: Shown) -> None:
    for run in (shown.first, shown.second):
        assert run.figures is not None
        present = run.figures.present
        assert present is not None
        assert present.moved is not None
        assert present.recovered is not None
        again = present.recovered.moved
        assert (present.moved.after, again.after) == (present.moved.before + 1, present.moved.before + 2)
        assert present.moved.commit != again.commit
        gateway = next(series for series in run.figures.series if series.label == present.moved.label)
        assert gateway.values[-1] == present.moved.before
        assert present.verified.different == 0
        assert present.verified.refused == []
        assert present.verified.rows > run.figures.cells_done
        assert f"moved from {present.moved.before:,} to {present.moved.after:,}" in run.out
        assert "by SIGKILL, with a commit while it was down" in run.out
        assert f"{present.verified.rows:,} rows compared, all equal" in run.out
    assert shown.second.figures is not None
    assert shown.second.figures.present is not None
    assert shown.figures.present is not None
    assert shown.second.figures.present.moved is not None
    assert shown.figures.present.recovered is not None
    assert shown.second.figures.present.moved.before == shown.figures.present.recovered.moved.after


def test_monitor_caught_the_commit_and_its_webhook_is_what_the_topics_hold(shown: Shown) -> None:
    for run, told in zip((shown.first, shown.second), shown.told, strict=True):
        assert run.figures is not None
        present = run.figures.present
        assert present is not None
        assert present.moved is not None
        assert present.caught is not None
        caught = present.caught
        assert caught.commit == present.moved.commit == told.pushed_tip
        assert told.results == [caught.commit]
        assert [(link.event, link.position) for link in caught.chain] == told.delivery
        assert [name for name, _ in told.delivery][-6:] == [
            "repository.pushed",
            "trigger.fired",
            "trigger.dispatched",
            "trigger.evaluated",
            "action.requested",
            "action.succeeded",
        ]
        assert 0 < caught.seconds < 30
        assert f"webhook {caught.seconds:.2f} s after the commit, signature verified" in run.out
        assert f"delivery {caught.delivery_id}" in run.out
        assert f"{told.delivery[0][0]} at {told.delivery[0][1]} -> " in run.out
        assert "-> trigger.evaluated -> action.requested -> action.succeeded" in run.out
    assert len(shown.told[1].monitors) == 1, "the second run has found the monitor of the first"


def test_upload_that_answers_at_head_is_what_the_topics_hold(shown: Shown) -> None:
    for run, told in zip((shown.first, shown.second), shown.told, strict=True):
        assert run.figures is not None
        present = run.figures.present
        assert present is not None
        assert present.recovered is not None
        assert present.uploaded is not None
        uploaded = present.uploaded
        assert uploaded.repository == present.recovered.moved.repository
        assert uploaded.head == present.recovered.moved.commit
        assert (uploaded.answers.input_commit, uploaded.answers.distance) == (uploaded.head, 0)
        assert told.published_commit == uploaded.head
        assert [(link.event, link.position) for link in uploaded.chain] == told.upload
        assert [link.detail for link in uploaded.chain] == [
            "to queued",
            "to processing",
            "",
            "to completed",
            "",
        ]
        assert uploaded.statistics.documents > 100
        assert 0 < uploaded.completed_s <= uploaded.visible_s < 30
        assert f"completed {uploaded.completed_s:.2f} s after its first byte" in run.out
        assert f"visible at the tip after {uploaded.visible_s:.2f} s" in run.out
        assert (
            f"at HEAD {uploaded.head[:10]} answers upload {uploaded.upload_id} of millstream-demo-python"
            in run.out
        )
    paths = subprocess.run(
        [
            "git",
            "--git-dir",
            str(shown.home / "samples" / "checkout.git"),
            "ls-tree",
            "-r",
            "--name-only",
            "main",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert uploaded.statistics.documents == sum(path.endswith(".py") for path in paths)


def past(figures: Figures) -> list[tuple[str, list[float | None]]]:
    """The frames of each line, without the newest count, which every run moves."""
    return [(series.id, series.values[:-1]) for series in figures.series]


def test_old_api_falls_and_its_successor_rises(shown: Shown) -> None:
    old, new = (series.values for series in shown.figures.series)
    assert (old[0] or 0) > 10 * (old[-1] or 0)
    assert (new[-1] or 0) > 10 * (new[0] or 0)


def test_git_grep_counted_the_same(shown: Shown) -> None:
    found = shown.figures
    newest = found.repositories * len(found.series)
    assert (found.git_grep_cells, found.git_grep_differences, found.git_grep_why_not) == (
        found.cells + newest,
        0,
        "",
    )
    assert f"{found.git_grep_cells} runs in {found.git_grep_s:.2f} s: same counts" in shown.first.out


def test_pasted_command_prints_the_number(shown: Shown) -> None:
    lines = shown.first.out.splitlines()
    at = next(index for index, line in enumerate(lines) if "this prints it:" in line)
    number = re.search(r" is ([\d,]+); this prints it:", lines[at])
    assert number is not None
    assert lines[at + 1].strip() == shown.figures.check_command
    printed = subprocess.run(["sh", "-c", lines[at + 1]], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == number[1].replace(",", "") == str(shown.figures.check_value)


def test_times_and_lag_are_told(shown: Shown) -> None:
    times = shown.figures.times
    assert (
        f"downloads {times.download_s:.1f} s, start {times.start_s:.1f} s, work {times.work_s:.1f} s"
        in shown.first.out
    )
    assert times.start_s > 0.5
    assert 0 < times.work_s < 60
    assert shown.figures.lag_records <= 200
    assert shown.figures.backfill_s < times.work_s


def test_second_run_finds_the_same_insight_and_counts_nothing_twice(shown: Shown) -> None:
    second = shown.second
    assert second.code == 0, second.story
    assert second.figures is not None
    assert (shown.figures.new, second.figures.new) == (True, False)
    assert second.figures.insight_id == shown.figures.insight_id
    assert past(second.figures) == past(shown.figures)
    assert shown.second_recount == shown.first_recount
    assert "0 registered, 4 known already" in second.out
    assert "found again, nothing was counted twice" in second.out


def test_own_repository_and_query_join_a_running_stack(shown: Shown, tmp_path: Path) -> None:
    day = timedelta(days=1)
    text = {"app.txt": b"Widget widget\n", "lib/[x].txt": b"WIDGET"}
    code = make_repository(
        tmp_path / "my code", [(OLD, text), (OLD + 100 * day, {"app.txt": b""})], bare=True
    )
    with start(shown.home, report=lambda line: None) as stack:
        run = run_demo(shown.home, tmp_path, "--repo", f"'{code}'", "--query", "widget")
        assert run.code == 0, run.story
        endpoints = read_endpoints(shown.home)
        assert endpoints is not None
        assert endpoints.owner == stack.endpoints.owner
    assert run.figures is not None
    (series,) = run.figures.series
    assert series.values[-1] == 1
    assert max(value or 0 for value in series.values) == 3
    assert len(series.values) == 13
    assert (datetime.now(UTC) - series.times[0]).days >= 180
    assert run.figures.git_grep_differences == 0
    assert run.figures.git_grep_cells == 13


@pytest.mark.parametrize(
    ("repo", "message", "remedy"),
    [
        ("nowhere", "does not exist", "name a folder with a git repository"),
        ("plain", "no git repository", "name"),
        ("cut", "shallow clone", "fetch --unshallow"),
        ("https://me:secret@git.example.com/x/y", "credentials", "credential helper"),
    ],
)
def test_what_cannot_be_counted_is_refused_before_anything_starts(
    tmp_path: Path, repo: str, message: str, remedy: str
) -> None:
    (tmp_path / "plain").mkdir()
    far = make_repository(tmp_path / "far", [(OLD, {"a": b"x"}), (OLD + timedelta(days=1), {"a": b"y"})])
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", far.as_uri(), str(tmp_path / "cut")],
        check=True,
        capture_output=True,
    )
    home = tmp_path / "home"
    run = run_demo(home, tmp_path, MILLSTREAM_DEMO_REPO=repo)
    assert run.code == 1
    error, what_to_do = run.err.strip().splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert what_to_do.startswith("what to do: ")
    assert remedy in what_to_do
    assert "secret" not in run.out + run.err
    assert not home.exists()


def test_stays_until_interrupted_and_serves_the_page(shown: Shown) -> None:
    stayed = shown.stayed
    assert stayed.allowed == {"worker": "127.0.0.1", "projector": None, "api": None}, "only who delivers may"
    assert stayed.without_login.status_code == 401, "without login there is no page"
    assert stayed.welcome.status_code == 200
    assert stayed.page_path in stayed.welcome.text, "it leads on to the chart"
    assert stayed.page.status_code == 200
    assert shown.figures.title in stayed.page.text
    assert shown.figures.title not in stayed.by_the_used_link.text, "the link works once"
    assert shown.second.code == 0, shown.second.story
