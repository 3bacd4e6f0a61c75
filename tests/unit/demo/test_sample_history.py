"""The made-up histories: two years, ending before the month, with merges, renames and a migration."""

from datetime import UTC, datetime

import pytest

from api.demo.sample_history import HISTORY_MONTHS, MAIN, Commit, Sample, history, months_before
from api.demo.samples import NEW_API, OLD_API, SAMPLES

MONTHS = [datetime(2026, 10, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)]


def tree_at(commits: list[Commit], moment: datetime) -> dict[str, str]:
    """The files of main at a moment, by applying the commits of main in order."""
    files: dict[str, str] = {}
    for commit in commits:
        if commit.ref != MAIN or commit.when > moment:
            continue
        for old, new in commit.renames:
            moved = {
                path: new + path[len(old) :] for path in files if path == old or path.startswith(f"{old}/")
            }
            assert moved, f"{old} is renamed but not there"
            for path, target in moved.items():
                files[target] = files.pop(path)
        files |= commit.files
    return files


def occurrences(files: dict[str, str], text: str) -> int:
    return sum(content.lower().count(text) for content in files.values())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("month", MONTHS, ids=lambda month: f"{month:%Y-%m}")
def test_history_spans_two_years_and_ends_before_the_month(sample: Sample, month: datetime) -> None:
    commits = history(sample, month)
    start = months_before(month, HISTORY_MONTHS)
    assert start <= commits[0].when < start.replace(day=2)
    assert month.timestamp() - 86_400 < commits[-1].when.timestamp() < month.timestamp()
    assert [commit.mark for commit in commits] == list(range(1, len(commits) + 1))
    on_main = [commit.when for commit in commits if commit.ref == MAIN]
    assert on_main == sorted(on_main)
    months = {(when.year, when.month) for when in on_main}
    assert len(months) == HISTORY_MONTHS


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_history_has_merges_and_renames(sample: Sample) -> None:
    commits = history(sample, MONTHS[0])
    by_mark = {commit.mark: commit for commit in commits}
    merges = [commit for commit in commits if len(commit.parents) == 2]
    assert len(merges) > 20
    assert all(by_mark[commit.parents[0]].ref == MAIN for commit in merges)
    assert all(
        by_mark[commit.parents[1]].ref == f"refs/heads/{commit.message.split(chr(39))[1]}"
        for commit in merges
    )
    assert sum(len(commit.renames) > 0 for commit in commits) > 10
    assert any((sample.language.folder, sample.folder_renamed_to) in commit.renames for commit in commits)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_old_api_falls_and_new_one_rises(sample: Sample) -> None:
    month = MONTHS[0]
    commits = history(sample, month)
    trees = [tree_at(commits, months_before(month, back)) for back in range(11, -1, -1)]
    old = [occurrences(tree, OLD_API) for tree in trees]
    new = [occurrences(tree, NEW_API) for tree in trees]
    assert old[0] > 500
    assert old[-1] < 50
    assert new[0] < 40
    assert new[-1] > 350
    assert new == sorted(new)
    notes = [occurrences(tree, "todo") + occurrences(tree, "fixme") for tree in trees]
    assert min(notes) > 30


def test_history_is_the_same_every_time_and_differs_by_month() -> None:
    sample = SAMPLES[0]
    assert history(sample, MONTHS[0]) == history(sample, MONTHS[0])
    assert history(sample, MONTHS[0]) != history(sample, MONTHS[1])


@pytest.mark.parametrize(
    ("month", "count", "expected"),
    [
        (datetime(2026, 11, 1, tzinfo=UTC), 24, datetime(2024, 11, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1, tzinfo=UTC), 1, datetime(2025, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 1, tzinfo=UTC), 12, datetime(2025, 12, 1, tzinfo=UTC)),
    ],
)
def test_months_before(month: datetime, count: int, expected: datetime) -> None:
    assert months_before(month, count) == expected
