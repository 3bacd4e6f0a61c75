"""The places that registrar and poller read, kept in memory as a projection would show them."""

from collections.abc import Collection, Sequence

from schemas.envelope import Position
from schemas.events import RepositoryPushed, RepositoryRegistered
from streams.agent import Outgoing
from streams.repositories.places import Place, Said
from tests.unit.streams.events import RecordingContext


class Followed:
    """Places by id. ``rejected``: positions whose registrations were not accepted."""

    def __init__(self, *registrations: RepositoryRegistered) -> None:
        self.rejected: set[Position] = set()
        self.places = {
            one.repository_id: Place(repository_id=one.repository_id, path=one.path, clone_url=one.clone_url)
            for one in registrations
        }

    async def accepted(self, positions: Collection[Position]) -> set[Position]:
        return set(positions) - self.rejected

    async def of(self, positions: Collection[Position], repository_ids: Collection[int]) -> list[Place]:
        return [place for key, place in self.places.items() if key in set(repository_ids)]

    async def watched(self) -> list[Place]:
        return [place for place in self.places.values() if place.is_ready]

    def fold(self, pushed: RepositoryPushed, offset: int) -> None:
        """What the projection does with a push."""
        before = self.places[pushed.repository_id]
        self.places[pushed.repository_id] = Place(
            repository_id=before.repository_id,
            path=before.path,
            clone_url=before.clone_url,
            said=Said(offset, pushed.tip, pushed.refs_fingerprint),
            is_ready=True,
        )


class Log(RecordingContext):
    """A context whose offsets go on from publish to publish; ``projected`` sees pushes at once, or when told."""

    def __init__(self, projected: Followed | None = None) -> None:
        super().__init__()
        self._projected = projected

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        first = len(self.published)
        await super().publish(outgoing)
        for number, one in enumerate(outgoing, start=first):
            if self._projected is not None and isinstance(one.event.data, RepositoryPushed):
                self._projected.fold(one.event.data, number)
        return [Position("millstream.repositories", 0, first + number) for number in range(len(outgoing))]

    @property
    def pushes(self) -> list[RepositoryPushed]:
        return [one.event.data for one in self.published if isinstance(one.event.data, RepositoryPushed)]
