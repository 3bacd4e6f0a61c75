"""Events and records for tests of agents, without a broker."""

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.codec import encode, new_event
from schemas.envelope import Event, Position, Record
from schemas.events import (
    DispatchedRequest,
    IndexRange,
    InsightCreated,
    Lane,
    RecordingDispatched,
    RecordingRequest,
    RepositoryLocation,
    RepositoryRegistered,
    RequestedSeries,
    SeriesDefinition,
    SeriesKind,
    SnapshotTarget,
)
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, derived_event_id, series_id
from schemas.registry import Payload
from schemas.topics import Topic
from streams.agent import Outgoing, Received

NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)


class RecordingContext:
    """A context that keeps what was published, in the order in which it was."""

    def __init__(self) -> None:
        self.published: list[Outgoing] = []

    def now(self) -> datetime:
        return NOW

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        self.published += outgoing
        return [Position("millstream.test", 0, number) for number, _ in enumerate(outgoing)]

    @property
    def events(self) -> list[Event]:
        return [one.event for one in self.published]


def event(payload: Payload, event_id: str | None = None) -> Event:
    return new_event(payload, source="//tests", time=NOW, event_id=event_id)


def received(payload: Payload, topic: Topic, partition: int = 0, offset: int = 0) -> Received:
    return Received(event(payload), Position(topic, partition, offset), NOW)


def record(payload: Payload, topic: Topic, offset: int = 0) -> Record:
    key, value, headers = encode(event(payload))
    return Record(topic, 0, offset, int(NOW.timestamp() * 1000), key, value, headers)


def registered(
    repository_id: int, path: str | None = None, clone_url: str | None = None
) -> RepositoryRegistered:
    """Of a path unless a URL is given."""
    if path is None and clone_url is None:
        path = f"/srv/r{repository_id}"
    return RepositoryRegistered(
        repository_id=repository_id, name=f"example.org/r{repository_id}", path=path, clone_url=clone_url
    )


def definition(query: str = "TODO", **changes: object) -> SeriesDefinition:
    """A monthly literal series; ``changes`` replace fields. The id follows from them."""
    fields: dict[str, object] = {
        "label": query,
        "query": query,
        "unit": TimeUnit.MONTH,
        "value": 1,
        **changes,
    }
    repositories = fields.get("repositories")
    identity = SeriesIdentity(
        query=query,
        unit=str(fields["unit"]),
        value=int(str(fields["value"])),
        repositories=repositories if isinstance(repositories, list) else None,
        criteria=None if fields.get("criteria") is None else str(fields["criteria"]),
        kind=str(fields.get("kind", "search")),
        pattern_type=str(fields.get("pattern_type", "literal")),
    )
    return SeriesDefinition(series_id=series_id(identity), **fields)  # type: ignore[arg-type]


def created(insight_id: int, series: Sequence[SeriesDefinition], frames: int = 12) -> InsightCreated:
    return InsightCreated(
        insight_id=insight_id, title="t", creator="me", created_at=NOW, series=list(series), frames=frames
    )


def requested(
    query: str = "TODO",
    frames: Sequence[IndexRange] = ((671, 683),),
    kind: SeriesKind = SeriesKind.SEARCH,
    snapshot: bool = False,
    base_value: int | None = None,
) -> RequestedSeries:
    return RequestedSeries(
        series_id=series_id(SeriesIdentity(query=query)),
        query=query,
        unit=TimeUnit.MONTH,
        value=1,
        frames=list(frames),
        kind=kind,
        snapshot=snapshot,
        base_value=base_value,
    )


def request(
    repository_id: int = 1,
    insight_id: int = 7,
    series: Sequence[RequestedSeries] = (),
    lane: Lane = Lane.BACKFILL,
    cost: float = 1.0,
    snapshot: SnapshotTarget | None = None,
) -> RecordingRequest:
    return RecordingRequest(
        request_id=derived_event_id("recording.requested", insight_id, repository_id, 1, 1),
        repository_id=repository_id,
        insight_id=insight_id,
        creator="me",
        lane=lane,
        series=list(series) or [requested()],
        cost=cost,
        snapshot=snapshot,
    )


def dispatched(one: RecordingRequest, attempt: int = 1, path: str | None = None) -> DispatchedRequest:
    return DispatchedRequest(request=one, attempt=attempt, location=RepositoryLocation(path=path))


def carried(requests: Sequence[DispatchedRequest]) -> RecordingDispatched:
    return RecordingDispatched(requests=list(requests), deadline=NOW)
