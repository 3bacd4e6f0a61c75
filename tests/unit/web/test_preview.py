"""The preview of the creation page: its words, its errors, and what it counts in real repositories."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from starlette.testclient import TestClient

from api.preview.counting import Previewer, PreviewPolicy
from api.preview.sample import Place, Sample, estimate_of, lines_of, order_of
from schemas.events import PatternType, SeriesDefinition, SeriesKind
from schemas.grid import Interval, TimeUnit
from schemas.ids import SeriesIdentity, series_id
from tests.support.repositories import RepositoryBuilder
from tests.unit.web.fixture import FixtureContext

_FORM = {
    "title": "",
    "query-0": "a",
    "pattern-0": "literal",
    "query-1": "",
    "query-2": "c",
    "pattern-2": "regexp",
    "scope": "all",
    "value": "1",
    "unit": "MONTH",
}
_MONTH = Interval(TimeUnit.MONTH)
_INSTANTS = tuple(_MONTH.instant(index) for index in _MONTH.newest(7, datetime.now(UTC)))


def test_it_says_what_is_covered_counted_and_what_it_would_cost(
    client: TestClient, context: FixtureContext
) -> None:
    page = client.post("/insights/new/preview", data=_FORM).text
    assert "3 repositories: a, b and 1 more. Counted in all 3." in page
    assert "72 counts at 12 frames, about 12,346 files looked at, about 1 min of counting at most" in page
    assert page.count("<li>") == 2
    assert "≈" not in page
    (sent,) = [variables for name, variables in context.asked if name == "Preview"]
    assert [one["query"] for one in sent["input"]["series"]] == ["a", "patternType:regexp c"]  # type: ignore[index]


def test_a_sample_is_called_one_and_what_was_left_out_is_told(
    client: TestClient, context: FixtureContext
) -> None:
    context.preview_counted = 1
    page = client.post("/insights/new/preview", data=_FORM).text
    assert "Counted in 1 of 3 (2 without a clone on this machine): at least so many." in page
    assert "≥" in page
    assert "≈" not in page, "nothing is made up for what cannot be counted here"
    context.preview_estimated = True
    page = client.post("/insights/new/preview", data=_FORM).text
    assert "Counted in 1 of 3; the values are scaled to all." in page
    assert "≈" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query-0": "", "query-2": " "}, "Type a query"),
        ({"value": "0"}, "interval"),
        ({"scope": "criteria"}, "filter of repositories"),
        ({"scope": "list"}, "chosen repository"),
    ],
)
def test_it_waits_for_what_it_needs_and_asks_nothing(
    client: TestClient, context: FixtureContext, change: dict[str, str], words: str
) -> None:
    assert words in client.post("/insights/new/preview", data={**_FORM, **change}).text
    assert context.asked == []


def test_a_query_that_cannot_be_run_is_told_in_the_preview_too(
    client: TestClient, context: FixtureContext
) -> None:
    context.errors["Preview"] = [{"message": "no such field", "extensions": {"code": "INVALID_INPUT"}}]
    assert "The preview waits: no such field." in client.post("/insights/new/preview", data=_FORM).text


def test_without_a_script_a_button_shows_it_and_the_notices(client: TestClient) -> None:
    form = {**_FORM, "query-0": "x foo:bar", "action": "preview"}
    answer = client.post("/insights/new", data=form)
    assert answer.status_code == 200
    assert 'class="spark"' in answer.text
    assert "foo: is no field: it is searched for as text</p>" in answer.text


def _series(query: str, kind: SeriesKind = SeriesKind.SEARCH) -> SeriesDefinition:
    pattern = PatternType.REGEXP if kind is SeriesKind.CAPTURE else PatternType.LITERAL
    identity = SeriesIdentity(
        query=query, unit="MONTH", value=1, repositories=None, criteria=None, kind=kind.value,
        pattern_type=pattern.value,
    )  # fmt: skip
    return SeriesDefinition(
        series_id=series_id(identity), label=query, query=query, unit=TimeUnit.MONTH, value=1, kind=kind,
        pattern_type=pattern,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three repositories; number n holds n + 1 times ``needle`` at the first frame, and one more at each that follows."""
    made = []
    for number in range(3):
        builder = RepositoryBuilder(tmp_path_factory.mktemp("previewed") / f"r{number}")
        for step, instant in enumerate(_INSTANTS):
            text = "needle\n" * (number + 1 + step)
            builder.commit(instant - timedelta(hours=1), {"a.txt": text, "b.txt": f"v{step} v{step}\n"})
        made.append(builder.build())
    return made


def _places(folders: list[Path], missing: tuple[int, ...] = ()) -> dict[int, Place | None]:
    return {
        number: None if number in missing else Place(number, folder, (0,))
        for number, folder in enumerate(folders)
    }


def test_it_counts_what_the_engine_counts(folders: list[Path], tmp_path: Path) -> None:
    series, places = [_series("needle")], _places(folders)
    sample = Previewer(tmp_path).count(series, list(places), places.__getitem__, _INSTANTS)
    (line,) = lines_of(series, [places.keys()], sample, 7)
    assert line.values == tuple(float(6 + 3 * step) for step in range(7))
    assert all(line.complete)
    assert (line.is_estimate, line.covered, line.counted) == (False, 3, 3)
    estimate = estimate_of([places.keys()], sample, frames=14, sampled_frames=7)
    assert (estimate.cells, estimate.files) == (42, 3 * 2 * 14)
    assert estimate.counting_s is not None


def test_clones_elsewhere_are_left_out_and_nothing_is_made_up_for_them(
    folders: list[Path], tmp_path: Path
) -> None:
    series, places = [_series("needle")], _places(folders, missing=(2,))
    sample = Previewer(tmp_path).count(series, list(places), places.__getitem__, _INSTANTS)
    assert (len(sample.counted), sample.not_here) == (2, 1)
    (line,) = lines_of(series, [places.keys()], sample, 7)
    assert (line.is_estimate, line.counted, line.covered) == (False, 2, 3)
    assert line.values == tuple(float(3 + 2 * step) for step in range(7))


def test_captured_values_are_lines_of_their_own(folders: list[Path], tmp_path: Path) -> None:
    series, places = [_series("(v\\d)", SeriesKind.CAPTURE)], _places(folders)
    sample = Previewer(tmp_path).count(series, list(places), places.__getitem__, _INSTANTS)
    lines = lines_of(series, [places.keys()], sample, 7)
    assert sorted(line.label for line in lines) == [f"v{step}" for step in range(7)]
    assert next(line.values for line in lines if line.label == "v2") == (0, 0, 6, 0, 0, 0, 0)


def test_what_git_cannot_read_costs_only_itself(folders: list[Path], tmp_path: Path) -> None:
    places = _places(folders)
    places[1] = Place(1, tmp_path, (0,))
    sample = Previewer(tmp_path).count([_series("needle")], list(places), places.__getitem__, _INSTANTS)
    assert (len(sample.counted), sample.unreadable) == (2, 1)


def test_it_ends_in_time_whatever_a_repository_does(folders: list[Path], tmp_path: Path) -> None:
    policy = PreviewPolicy(time_s=0.3, at_once=1)
    previewer, places, let_go = Previewer(tmp_path, policy), _places(folders), Event()

    def place_of(number: int) -> Place | None:
        if number == 1:
            let_go.wait(30)
        return places[number]

    began_s = time.monotonic()
    sample = previewer.count([_series("needle")], list(places), place_of, _INSTANTS)
    assert time.monotonic() - began_s < 2
    assert len(sample.counted) <= 1
    # The place is taken until git has ended: others are told so instead of queueing up.
    assert previewer.count([_series("needle")], [0], places.__getitem__, _INSTANTS) == Sample(busy=True)
    let_go.set()


def test_a_large_scope_is_sampled(folders: list[Path], tmp_path: Path) -> None:
    previewer = Previewer(tmp_path, PreviewPolicy(repositories=2))
    order = order_of(range(1000))
    assert sorted(order) == list(range(1000)) != order
    sample = previewer.count(
        [_series("needle")], order, lambda number: Place(number, folders[0], (0,)), _INSTANTS
    )
    assert [one.place.repository_id for one in sample.counted] == order[:2]
    (line,) = lines_of([_series("needle")], [range(1000)], sample, 7)
    assert line.values[0] == 1000.0
