"""Which projections share a process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.catalogue import PROJECTIONS
from projections.sharing import ALONE, NothingToRun, groups

NAMES = [one.name for one in PROJECTIONS]


def test_the_two_that_read_most_are_alone_and_all_others_together() -> None:
    found = groups(NAMES, 2)
    assert found["series_points"] == ("series_points",)
    assert found["event_index"] == ("event_index",)
    assert set(found) == {"series_points", "event_index", "others"}
    assert groups(NAMES, 64) == found, "more cores make no more processes"


def test_one_core_is_shared_by_one_process() -> None:
    assert groups(NAMES, 1) == {"others": tuple(NAMES)}


def test_what_is_named_alone_needs_no_other_process() -> None:
    assert groups(["series_points"], 8) == {"series_points": ("series_points",)}
    assert groups(["insights"], 8) == {"insights": ("insights",)}
    assert groups(["insights", "repositories"], 8) == {"others": ("insights", "repositories")}
    assert groups(["insights", "event_index"], 8) == {
        "event_index": ("event_index",),
        "insights": ("insights",),
    }


def test_every_name_is_a_projection() -> None:
    assert set(ALONE) <= set(NAMES)


@given(st.lists(st.sampled_from(NAMES), unique=True, min_size=1), st.integers(1, 128))
def test_every_projection_is_in_one_group(names: list[str], cores: int) -> None:
    found = groups(names, cores)
    assert sorted(name for group in found.values() for name in group) == sorted(names)
    assert all(found.values())


def test_none_is_refused() -> None:
    with pytest.raises(NothingToRun):
        groups([], 2)
