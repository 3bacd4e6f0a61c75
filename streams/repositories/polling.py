"""When the refs of which repository are looked at. Pure."""

import hashlib
from collections.abc import Iterable

from streams.repositories.places import Place


def spread(repository_id: int) -> float:
    """A number in [0, 1) that is the repository's own: ids are hashes already, but not everybody's."""
    digest = hashlib.blake2b(str(repository_id).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def is_due(repository_id: int, *, since_s: float, until_s: float, interval_s: float) -> bool:
    """Whether one of the repository's moments, every ``interval_s``, lies in (since, until]."""
    shift_s = spread(repository_id) * interval_s
    return (until_s - shift_s) // interval_s > (since_s - shift_s) // interval_s


def due(places: Iterable[Place], *, since_s: float, until_s: float, interval_s: float) -> list[Place]:
    """Those of ``places`` that are due, each once, however long ago ``since_s`` is. None with an interval of 0."""
    if interval_s <= 0:
        return []
    return [
        place
        for place in places
        if is_due(place.repository_id, since_s=since_s, until_s=until_s, interval_s=interval_s)
    ]
