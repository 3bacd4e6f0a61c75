"""What the demo puts on the screen: live block, lag, table, last lines."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from api.cli.rendering import Line, chart_table, number, sparkline
from api.demo.definition import InsightWish, SeriesWish
from api.demo.figures import Figures, SeriesFigures, Times
from api.demo.lag import Lag, measure
from api.demo.live import LiveBlock, PlainBlock, Progress, Rate, drawing, open_block, plain, until_planned
from api.demo.memory import as_before, remember
from api.demo.oracle import Cell, Difference, Witness
from api.demo.questions import AppliedPosition, AsOf
from api.demo.summary import lines_of, told
from schemas.grid import Interval, TimeUnit

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TIMES = [datetime(2026, month, 1, tzinfo=UTC) for month in (9, 10, 11)]
NO_LAG = Lag(0, 0.0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 2, 4, 8], "▁▂▃▅█"),
        ([8, None, 0], "█·▁"),
        ([0, 0], "▁▁"),
        ([1, 1000], "▂█"),
        ([None], "·"),
        ([], ""),
    ],
)
def test_sparkline_shows_zero_small_and_missing_apart(values: list[float | None], expected: str) -> None:
    assert sparkline(values) == expected


def test_numbers_are_exact_marked_or_missing() -> None:
    assert [number(1234.0), number(0), number(None), number(7, complete=False), number(0.5)] == [
        "1,234",
        "0",
        "·",
        "≥7",
        "0.50",
    ]


def shown(*lines: Line) -> str:
    console = Console(file=StringIO(), width=100, force_terminal=False)
    console.print(chart_table("a [b] chart", lines))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_table_has_repositories_when_there_are_several() -> None:
    one = Line("old", TIMES, [3, 2, None], [True, True, False], {"host/a": [3, 2, None]})
    text = shown(one)
    assert "a [b] chart" in text
    assert "host/a" not in text
    assert "2026-09-01" in text
    assert "2026-11-01" in text
    two = Line("new [x]", TIMES, [0, 5, 9], [True, True, False], {"host/a": [0, 2, 3], "host/b": [0, 3, 6]})
    rows = shown(two).splitlines()
    assert any("new [x]" in row and "▁▅█" in row and row.rstrip().endswith("≥9") for row in rows)
    assert any("host/b" in row and row.rstrip().endswith("6") for row in rows)
    assert shown()


def test_frames_within_a_day_are_headed_by_their_hours() -> None:
    hours = [datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in (0, 8, 16)]
    text = shown(Line("old", hours, [1, 2, 3], [True] * 3))
    assert "2026-11-22 00:00" in text
    assert "2026-11-22 16:00" in text
    assert "00:00" not in shown(Line("old", TIMES, [1, 2, 3], [True] * 3))


def test_rate_is_over_the_last_seconds() -> None:
    rate = Rate()
    assert rate.add(0.0, 0) == 0.0
    assert rate.add(1.0, 10) == 10.0
    assert rate.add(2.0, 30) == 15.0
    assert rate.add(10.0, 30) == 0.0


def test_rate_does_not_sink_after_the_last_cell() -> None:
    rate = Rate()
    rate.add(0.0, 0)
    assert rate.add(2.0, 30, all_done=True) == 15.0
    assert rate.add(3.0, 30, all_done=True) == 15.0
    assert rate.add(9.0, 30, all_done=True) == 15.0


def test_no_total_is_shown_before_the_whole_plan_is_there() -> None:
    known = Progress(8, 8, 0, True, NO_LAG)
    assert "being planned" in plain(until_planned(known, 12), 0)
    assert "8 of 12" in plain(until_planned(Progress(12, 8, 0, True, NO_LAG), 12), 0)
    finished = Progress(8, 8, 0, False, NO_LAG)
    assert until_planned(finished, 12) == finished


def test_plain_block_prints_changes_at_most_once_a_second_and_the_last_one() -> None:
    lines: list[str] = []
    now = [0.0]
    block = PlainBlock(lines.append, clock=lambda: now[0])
    block.show(Progress(0, 0, 0, True, NO_LAG), 0)
    now[0] = 0.5
    block.show(Progress(72, 10, 0, True, NO_LAG), 20)
    now[0] = 1.5
    block.show(Progress(72, 40, 0, True, Lag(3, 0.25)), 30)
    now[0] = 1.6
    block.show(Progress(72, 72, 0, False, NO_LAG), 40)
    block.show(Progress(72, 72, 0, False, NO_LAG), 40)
    block.close()
    assert lines == [
        "counting the past: being planned, lag 0 records (0.0 s)",
        "counting the past: 40 of 72 cells, 30 cells/s, lag 3 records (0.2 s)",
        "counting the past: 72 of 72 cells, 40 cells/s, lag 0 records (0.0 s)",
    ]
    assert "72 cells, counted in an earlier run, lag" in plain(
        Progress(72, 72, 0, False, NO_LAG, before=True), 0
    )
    assert plain(Progress(72, 70, 2, False, Lag(1, 1.0)), 0).endswith(
        "2 failed, 0 cells/s, lag 1 record (1.0 s)"
    )


def test_live_block_is_redrawn_in_place_on_a_terminal() -> None:
    out = StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    block = open_block(console, lambda line: None)
    assert isinstance(block, LiveBlock)
    block.show(Progress(72, 36, 1, True, NO_LAG), 12)
    block.show(Progress(72, 72, 0, False, NO_LAG), 12)
    block.close()
    assert "36 of 72 cells" in out.getvalue()
    assert "72 of 72 cells" in out.getvalue()
    assert "\x1b[1A" in out.getvalue()
    assert drawing(Progress(0, 0, 0, True, NO_LAG), 0).row_count == 2


def test_lag_is_what_is_on_the_log_and_not_applied() -> None:
    def at(topic: str, partition: int, next_offset: int, age_s: float | None) -> AppliedPosition:
        append_time = None if age_s is None else NOW - timedelta(seconds=age_s)
        return AppliedPosition(
            topic=topic, partition=partition, next_offset=str(next_offset), append_time=append_time
        )

    ends = {("t", 0): 10, ("t", 1): 5, ("u", 0): 3}
    as_of = [
        AsOf(projection="p", positions=[at("t", 0, 7, 4.0), at("t", 1, 5, 900.0)]),
        AsOf(projection="q", positions=[at("u", 0, 2, 1.5)]),
    ]
    assert measure(as_of, ends, NOW) == Lag(4, 4.0)
    assert measure(as_of, {("t", 0): 6, ("t", 1): 5, ("u", 0): 2}, NOW) == Lag(0, 0.0)
    assert measure([AsOf(projection="p", positions=[at("t", 0, 0, None)])], ends, NOW) == Lag(10, 0.0)


def figures() -> Figures:
    series = SeriesFigures(
        id="s:1",
        label="old",
        query="old",
        times=TIMES,
        values=[3, 2, 1],
        complete=[True] * 3,
        per_repository={f"host/{number}": [0, 0, number] for number in range(20)},
    )
    return Figures(
        insight_id="7",
        title="t",
        created_position="millstream.insights/0@3",
        new=True,
        requests=3,
        results=3,
        failures=0,
        points=3,
        cells=60,
        cells_done=60,
        cells_failed=0,
        cells_known=0,
        repositories=20,
        series=[series],
        files=12_345,
        blobs=678,
        counting_s=0.5,
        backfill_s=1.5,
        git_grep_s=2.25,
        git_grep_cells=60,
        git_grep_differences=0,
        git_grep_why_not="",
        check_command="git -C /x grep -I -h -o -i -F -e old abc | wc -l",
        check_value=19,
        check_where="old in host/19 at 2026-11-01 00:00 UTC",
        lag_records=0,
        lag_s=0.0,
        page="http://127.0.0.1:7080/insights/x",
        times=Times(download_s=9.0, start_s=8.0, work_s=2.0),
    )


def test_last_lines_hold_every_figure() -> None:
    found = figures()
    text = "\n".join(
        told(
            found,
            Witness(60, 60, 2.25),
            login_link="http://127.0.0.1:7080/login?token=z",
            home=Path("/h"),
            own_code=False,
        )
    )
    for expected in (
        "insight.created at millstream.insights/0@3 -> 3 requests -> 3 results -> 3 points",
        "60 of 60 counted (20 repositories",
        "12,345 files through 678 distinct blobs in 0.50 s",
        "60 runs in 2.25 s: same counts",
        "old in host/19 at 2026-11-01 00:00 UTC is 19",
        found.check_command,
        "0 records, 0.0 s",
        "downloads 9.0 s, start 8.0 s, work 2.0 s",
        found.page,
        "login?token=z",
        "REPO=",
    ):
        assert expected in text


def test_cells_known_from_before_are_told_apart() -> None:
    def text_of(found: Figures) -> str:
        return "\n".join(told(found, Witness(), login_link=None, home=Path("/h"), own_code=False))

    some = msgspec.structs.replace(figures(), cells=12, cells_done=12, cells_known=8)
    assert ": 8 cells known from before, 4 counted" in text_of(some)
    assert "distinct blobs" in text_of(some)
    every = msgspec.structs.replace(some, cells_known=12, files=0, blobs=0)
    assert "12 cells known from before, 0 counted" in text_of(every)
    assert "blob" not in text_of(every)


def test_a_demo_that_ends_shows_no_page_that_is_gone() -> None:
    text = "\n".join(told(figures(), Witness(60, 60, 2.25), login_link=None, home=Path("/h"), own_code=False))
    assert "to see the page: make demo" in text
    assert "http://" not in text
    assert "log in" not in text


def test_last_lines_say_when_git_grep_differs_or_cannot_witness() -> None:
    cell = Cell("old", "host/1", Path("/x"), NOW, "a" * 40, 5)
    text = "\n".join(
        told(
            figures(),
            Witness(60, 60, 2.25, (Difference(cell, 4),)),
            login_link="",
            home=Path("/h"),
            own_code=True,
        )
    )
    assert "1 counts differ" in text
    assert "host/1 at aaaaaaaaaaaa: 'old' counted 5, git grep 4" in text
    silent = msgspec.structs.replace(
        figures(), git_grep_cells=0, git_grep_why_not="git grep is no witness", check_command=""
    )
    text = "\n".join(told(silent, Witness(), login_link="", home=Path("/h"), own_code=True))
    assert "no comparison: git grep is no witness" in text
    assert "no git command counts this" in text


def test_of_many_repositories_the_largest_are_shown() -> None:
    (line,) = lines_of(figures())
    assert list(line.per_repository) == [f"host/{number}" for number in range(19, 7, -1)]


def test_interval_of_the_first_run_is_kept(tmp_path: Path) -> None:
    wish = InsightWish("t", (SeriesWish("x", "x", ""),), ("host/a",), Interval(TimeUnit.WEEK, 2), "demo-1")
    assert as_before(tmp_path, wish) == wish
    remember(tmp_path, wish)
    later = InsightWish("t", wish.series, wish.repositories, Interval(TimeUnit.MONTH, 1), "demo-1")
    other = InsightWish("t", wish.series, wish.repositories, Interval(TimeUnit.MONTH, 1), "demo-2")
    assert as_before(tmp_path, later) == wish
    assert as_before(tmp_path, other) == other
    remember(tmp_path, other)
    assert as_before(tmp_path, later) == wish
    (tmp_path / "demo.json").write_text('{"demo-1": {"unit": "AGE", "value": 1}}')
    assert as_before(tmp_path, later) == later
    (tmp_path / "demo.json").write_text("[")
    assert as_before(tmp_path, later) == later
