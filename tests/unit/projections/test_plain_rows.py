"""Rows packed from columns are byte for byte those that are packed one by one."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.series_points.fold import fold
from projections.series_points.outcomes import is_plain
from projections.series_points.plain_rows import PlainRows
from schemas.events import SearchCompleted, SeriesResult
from schemas.grid import TimeUnit
from tests.support.projecting import foldings

COMMITS = st.lists(st.integers(0, 15).map(lambda digit: f"{digit:x}" * 40), min_size=1, max_size=4)
LONGER = COMMITS.map(lambda commits: [commit + commit[:24] for commit in commits])


@st.composite
def results(draw: st.DrawFn) -> list[SearchCompleted]:
    """Events of one or two series each, every (series, repository) once."""
    keys = draw(
        st.lists(st.tuples(st.integers(0, 4), st.integers(1, 50)), min_size=1, max_size=12, unique=True)
    )
    found: list[SearchCompleted] = []
    for number, repository in keys:
        commits = draw(st.one_of(COMMITS, LONGER))
        first, size = draw(st.integers(100, 400)), draw(st.integers(1, 5))
        indexes = sorted(draw(st.sets(st.integers(first, first + size - 1), max_size=size)))
        # The last bytes of 256 are zeros, which a text of fixed length must not lose.
        unit, value = draw(st.sampled_from([(TimeUnit.MONTH, 1), (TimeUnit.WEEK, 2), (TimeUnit.DAY, 256)]))
        one = SeriesResult(
            series_id=f"s:{number:064X}",
            unit=unit,
            value=value,
            covered=[(first, first + size)],
            indexes=indexes,
            values=[draw(st.integers(1, 2**53 - 1)) for _ in indexes],
            commit_refs=[draw(st.integers(0, len(commits) - 1)) for _ in indexes],
        )
        found.append(
            SearchCompleted(
                request_id=f"r-{len(found)}",
                repository_id=repository,
                insight_id=1,
                attempt=draw(st.integers(1, 3)),
                matcher_version=1,
                engine="git",
                series=[one],
                commits=commits,
            )
        )
    return found


@given(results())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_packed_rows_are_those_of_the_fold(events: list[SearchCompleted]) -> None:
    changes = fold(foldings(events)).keys
    plain = PlainRows()
    for event in events:
        for result in event.series:
            assert is_plain(event, result)
            plain.add(event, result)
    rows = plain.rows
    covered, points = plain.take()
    # Each layout is sorted for itself; which rows there are, and of one layout the order, is what counts.
    assert b"".join(_sorted(covered, [change.covered for change in changes])) == b"".join(
        change.covered for change in changes
    )
    assert b"".join(_sorted(points, [change.points for change in changes])) == b"".join(
        change.points for change in changes
    )
    assert rows == sum(change.rows for change in changes)


def _sorted(layouts: list[bytearray], wanted: list[bytes]) -> list[bytes]:
    """The layouts' rows cut as ``wanted`` has them; each layout must hold its own in that order, and nothing else."""
    places = [0] * len(layouts)
    found: list[bytes] = []
    for row in wanted:
        for number, layout in enumerate(layouts):
            if row and layout[places[number] : places[number] + len(row)] == row:
                places[number] += len(row)
                found.append(row)
                break
    assert places == [len(layout) for layout in layouts]
    return found


def test_what_is_not_plain_is_left_to_others() -> None:
    def said(**changed: object) -> bool:
        fields: dict[str, object] = {
            "series_id": f"s:{1:064X}",
            "unit": TimeUnit.MONTH,
            "value": 1,
            "covered": [(600, 602)],
            "indexes": [600, 601],
            "values": [1, 2],
            "commit_refs": [0, 0],
        }
        commits = changed.pop("commits", ["a" * 40])
        result = SeriesResult(**(fields | changed))  # type: ignore[arg-type]
        event = SearchCompleted(
            request_id="r",
            repository_id=1,
            insight_id=1,
            attempt=1,
            matcher_version=1,
            engine="git",
            series=[result],
            commits=commits,  # type: ignore[arg-type]
        )
        return is_plain(event, result)

    assert said()
    assert said(indexes=[], values=[], commit_refs=[])
    assert not said(values=[1, 0])
    assert not said(captures=["a", "b"])
    assert not said(commit_refs=[])
    assert not said(covered=[(600, 601), (601, 602)])
    assert not said(commits=["a" * 40, "b" * 64])
    assert not said(commits=[""])
