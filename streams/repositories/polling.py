"""When the refs of which repository are looked at. Pure."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter

from streams.repositories.places import Place


def spread(repository_id: int) -> float:
    """A number in [0, 1) that is the repository's own: ids are hashes already, but not everybody's."""
    digest = hashlib.blake2b(str(repository_id).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


class Rota:
    """Places in the order of their moments: a look costs what is due, not what is watched."""

    def __init__(self, places: Iterable[Place] = ()) -> None:
        turns = sorted(((spread(place.repository_id), place) for place in places), key=itemgetter(0))
        self._moments = [moment for moment, _ in turns]
        self._places = [place for _, place in turns]

    def due(self, *, since_s: float, until_s: float, interval_s: float) -> list[Place]:
        """Those with a moment, one every ``interval_s``, in (since, until]: each once, however long ago ``since_s`` is.

        None with an interval of 0.
        """
        if interval_s <= 0 or until_s <= since_s:
            return []
        first_round, first = divmod(since_s / interval_s, 1)
        last_round, last = divmod(until_s / interval_s, 1)
        behind, end = bisect_right(self._moments, first), bisect_right(self._moments, last)
        if first_round == last_round:
            return self._places[behind:end]
        if last_round - first_round > 1 or end >= behind:
            return list(self._places)
        return self._places[behind:] + self._places[:end]
