"""``?generation=``: what it means, what is kept of it in addresses, and what the banner says."""

from datetime import UTC, datetime

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.web.answers import AsOf
from api.web.past import generations_of, past

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def asked(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("", ()),
        ("generation=9", (("series_points", 9),)),
        ("generation=insights:3&generation=9&at=now", (("insights", 3), ("series_points", 9))),
        ("generation=9&generation=series_points:9", (("series_points", 9),)),
    ],
)
def test_the_address_names_generations(query: str, at: tuple[tuple[str, int], ...]) -> None:
    assert generations_of(asked(query)) == at


@pytest.mark.parametrize(
    "query", ["generation=x", "generation=9&generation=8", "generation=a:b:1", "generation="]
)
def test_what_names_none_is_not_found(query: str) -> None:
    with pytest.raises(HTTPException):
        generations_of(asked(query))


def test_the_banner_says_of_when_it_is() -> None:
    at = (("insights", 3), ("repositories", 4), ("series_points", 9))
    found = past(
        at,
        [
            AsOf("series_points", replayed_until=MARCH, applied_up_to=MARCH, behind=True),
            AsOf("insights", applied_up_to=MARCH, behind=True),
            AsOf("repositories"),
        ],
    )
    assert found is not None
    assert found.lines == (
        "As of 1 Mar 2026, 00:00:00 UTC: generation 3 of insights; newer events are not in it.",
        "Generation 4 of repositories, into which nothing was replayed.",
        "As of 1 Mar 2026, 00:00:00 UTC: generation 9 of series_points, replayed until 1 Mar 2026, 00:00:00 UTC.",
    )
    assert generations_of(asked(found.query)) == at
    assert found.is_past
    assert past((), []) is None


def test_a_generation_that_is_kept_current_is_not_called_the_past() -> None:
    found = past((("series_points", 2),), [AsOf("series_points", applied_up_to=MARCH)])
    assert found is not None
    assert not found.is_past
    behind = past((("series_points", 2),), [AsOf("series_points", applied_up_to=MARCH, behind=True)])
    assert behind is not None
    assert behind.is_past
