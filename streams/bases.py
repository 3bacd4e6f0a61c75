"""From which known counts a newest state can follow by the difference of two trees. Pure.

Whoever asks for a newest state names its bases, and the dispatcher names them again: a request may come from anybody,
so that only what the projection holds is a base.
"""

from collections.abc import Iterable, Mapping

import msgspec

from schemas.events import RecordingRequest, SeriesKind


class Base(msgspec.Struct, frozen=True):
    """The newest count of a series in a repository: at ``commit`` (None: empty), announced by the push at
    ``pushed_offset``. ``limits``: the digest of those it was counted under (None: unknown). ``is_whole``: it is no
    lower bound."""

    value: int
    commit: str | None
    pushed_offset: int
    matcher_version: int
    limits: str | None
    is_whole: bool


class Bases(msgspec.Struct, frozen=True):
    """Values by series, all counted at ``commit`` under ``limits``; without a commit there are none."""

    commit: str | None
    limits: str | None
    values: Mapping[str, int]


def bases_of(
    series: Iterable[tuple[str, SeriesKind]], known: Mapping[str, Base], matcher_version: int
) -> Bases:
    """The bases of (series id, kind); ``known`` are the snapshots there are, by series.

    A whole count of the same matcher under known limits is a base: of several the newest commit is named, and the
    series that were counted elsewhere have none. Whether the limits are the worker's own is for the worker to say.
    """
    usable = {
        series_id: found
        for series_id, kind in series
        if (found := known.get(series_id)) is not None
        and kind is SeriesKind.SEARCH
        and found.is_whole
        and found.commit is not None
        and found.limits is not None
        and found.matcher_version == matcher_version
    }
    newest = max(usable.values(), key=lambda one: one.pushed_offset, default=None)
    if newest is None:
        return Bases(None, None, {})
    named = (newest.commit, newest.limits)
    return Bases(*named, {key: one.value for key, one in usable.items() if (one.commit, one.limits) == named})


def has_base(request: RecordingRequest) -> bool:
    """Whether ``request`` says anything about what was counted before."""
    return request.snapshot is not None and request.snapshot.base_commit is not None


def rebased(request: RecordingRequest, known: Mapping[str, Base], matcher_version: int) -> RecordingRequest:
    """``request`` with the bases that are known, whatever it said itself."""
    target = request.snapshot
    if target is None:
        return request
    bases = bases_of(
        [(one.series_id, one.kind) for one in request.series if one.snapshot], known, matcher_version
    )
    return msgspec.structs.replace(
        request,
        series=[
            msgspec.structs.replace(one, base_value=bases.values.get(one.series_id) if one.snapshot else None)
            for one in request.series
        ],
        snapshot=msgspec.structs.replace(target, base_commit=bases.commit, base_limits=bases.limits),
    )
