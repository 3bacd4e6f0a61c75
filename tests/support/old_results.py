"""Results as they were said before there was version 2."""

import random

from schemas.events import SearchCompletedV1
from schemas.grid import TimeUnit
from schemas.results import v1
from tests.support.projecting import COMMIT, SERIES


def of_old(number: int, request_id: str, first: int, random_: random.Random) -> SearchCompletedV1:
    """One of one frame."""
    one = v1.SeriesResult(
        series_id=SERIES,
        unit=TimeUnit.MONTH,
        value=1,
        covered=[(first, first + 1)],
        indexes=[first],
        values=[1 + random_.randrange(9)],
        commits=[COMMIT],
    )
    return SearchCompletedV1(
        request_id=request_id,
        repository_id=number,
        insight_id=1,
        attempt=1,
        matcher_version=1,
        engine="git",
        series=[one],
    )
