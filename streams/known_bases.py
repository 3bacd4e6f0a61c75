"""The counts that newest states can follow from, as the projection holds them."""

from collections.abc import Collection, Iterable

import msgspec
from sqlalchemy import Connection

from projections.series_points import queries as series_points
from schemas.events import DispatchedRequest
from streams.bases import Base, has_base, rebased
from streams.search.engine import MATCHER_VERSION


def known_bases(
    connection: Connection, series_ids: Collection[str], repository_ids: Collection[int]
) -> dict[tuple[str, int], Base]:
    """By (series, repository): the snapshots there are, in one read."""
    found = series_points.known_counts(connection, series_ids, repository_ids)
    return {
        pair: Base(
            value=one.value,
            commit=one.commit,
            pushed_offset=one.pushed_offset,
            matcher_version=one.matcher_version,
            limits=one.limits,
            is_whole=one.reason is None,
        )
        for pair, one in found.items()
    }


def with_known_bases(
    connection: Connection, requests: Iterable[DispatchedRequest]
) -> list[DispatchedRequest]:
    """``requests``; those that name a base get the one that is known instead: anybody may ask, and a count that
    follows from a wrong one would be wrong for ever."""
    listed = list(requests)
    named = [one.request for one in listed if has_base(one.request)]
    if not named:
        return listed
    series_ids = {series.series_id for one in named for series in one.series if series.snapshot}
    known = known_bases(connection, series_ids, {one.repository_id for one in named})
    return [
        msgspec.structs.replace(
            one,
            request=rebased(
                one.request,
                {
                    series.series_id: known[pair]
                    for series in one.request.series
                    if (pair := (series.series_id, one.request.repository_id)) in known
                },
                MATCHER_VERSION,
            ),
        )
        if has_base(one.request)
        else one
        for one in listed
    ]
