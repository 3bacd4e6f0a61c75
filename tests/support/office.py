"""The dispatcher over real projections, without a broker: events are folded in, and what it says is kept."""

from collections.abc import Callable, Iterable

from sqlalchemy import Engine

from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import projection
from projections.generations import ensure_generation
from projections.reading import Reader
from schemas.events import RecordingDispatched
from schemas.registry import Payload
from schemas.topics import Topic
from streams.projected import Vector
from streams.recordings.dispatcher import Dispatcher, DispatchPolicy, Office
from streams.recordings.token_bucket import TokenBucket
from tests.support.projecting import fold_into, foldings
from tests.unit.streams.events import RecordingContext

PROJECTIONS = ("insights", "recordings", "repositories", "series_points", "settings")


class Free:
    """Locks that nobody else wants, and a log that ends where the test says."""

    def __init__(self, ends: Callable[[], Vector] = dict) -> None:
        self._ends = ends

    def try_lease(self, name: str, number: int) -> bool:
        return True

    def release_lease(self, name: str, number: int) -> None:
        return None

    def ends(self, topics: Iterable[Topic]) -> Vector:
        wanted = {topic.value for topic in topics}
        return {place: end for place, end in self._ends().items() if place[0] in wanted}


def make_projections(settings: Settings) -> None:
    """Empty generations of all that the dispatcher reads."""
    projector = make_engine(settings, Role.PROJECTOR, pool_size=2)
    for name in PROJECTIONS:
        ensure_generation(projector, projection(name))
    projector.dispose()


def project(settings: Settings, name: str, *payloads: Payload) -> None:
    engine = make_engine(settings, Role.PROJECTOR, pool_size=1)
    schema = ensure_generation(engine, projection(name)).schema_name
    engine.dispose()
    connection = connect(settings, Role.PROJECTOR, autocommit=True)
    connection.execute(f'set search_path to "{schema}"'.encode())
    fold_into(connection, projection(name), [foldings(payloads)])
    connection.close()


def dispatched(context: RecordingContext) -> list[int]:
    return [
        one.request.repository_id
        for said in context.events
        if isinstance(said.data, RecordingDispatched)
        for one in said.data.requests
    ]


def dispatcher_of(
    reader: Reader,
    worker: Engine,
    context: RecordingContext,
    ends: Callable[[], Vector] = dict,
) -> Dispatcher:
    """A dispatcher that holds the office, for two handlers."""
    office = Free(ends)
    return Dispatcher(
        Office(reader, office, office, live_workers=lambda: 1, bucket=TokenBucket(worker)),
        DispatchPolicy(handlers=2, partitions=8),
        context,
        lambda: True,
    )
