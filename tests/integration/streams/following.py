"""What tests of the present share: a projector to read from, pushes, and what is counted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.generations import NotProjected
from projections.reading import Reader
from projections.series_points import queries as series_points
from projections.series_points.queries import RepositorySnapshot
from schemas.envelope import Event
from schemas.events import (
    RecordingRequest,
    RecordingRequested,
    RepositoryRefreshRequested,
    SeriesDefinition,
    SettingsChanged,
)
from schemas.topics import Topic
from tests.integration.streams.children import start_projector
from tests.integration.streams.log import events_on
from tests.support.repositories import git
from tests.support.system import eventually
from tests.unit.streams.events import event

WAIT_S = 60.0


@contextmanager
def projected(settings: Settings) -> Iterator[Reader]:
    """A reader over a running projector."""
    engine = make_engine(settings, Role.WORKER, pool_size=4, name="test")
    found = Reader(engine)

    def is_there() -> bool:
        try:
            with found.snapshot():
                return True
        except NotProjected:
            return False

    with start_projector(settings):
        eventually(is_there, "the projector", timeout_s=30)
        yield found
    found.close()
    engine.dispose()


def setting(key: str, value: float | None) -> Event:
    return event(SettingsChanged(key=key, value=value, changed_by="tests"))


def refresh(repository: int) -> Event:
    return event(RepositoryRefreshRequested(repository_id=repository))


def commit(folder: Path, name: str, text: str) -> str:
    """One more commit on the bare repository's branch; its id."""
    blob = git(folder, "hash-object", "-w", "--stdin", stdin=text.encode()).decode().strip()
    entries = git(folder, "ls-tree", "main").decode()
    kept = [line for line in entries.splitlines() if not line.endswith(f"\t{name}")]
    listing = "\n".join([*kept, f"100644 blob {blob}\t{name}"]) + "\n"
    tree = git(folder, "mktree", stdin=listing.encode()).decode().strip()
    made = git(folder, "commit-tree", tree, "-p", "main", "-m", "more").decode().strip()
    git(folder, "update-ref", "refs/heads/main", made)
    return made


def newest(reader: Reader, series: SeriesDefinition) -> Mapping[int, RepositorySnapshot]:
    with reader.snapshot(("series_points",)) as snapshot:
        return series_points.snapshots(snapshot.connection, [series.series_id])[series.series_id]


def wait_newest(reader: Reader, series: SeriesDefinition, wanted: Mapping[int, int]) -> None:
    def shown() -> bool:
        return {key: one.value for key, one in newest(reader, series).items()}.items() >= wanted.items()

    eventually(shown, f"the newest counts {wanted}", timeout_s=WAIT_S)


def requests_of(settings: Settings, admin: KafkaAdmin, *repository_ids: int) -> list[RecordingRequest]:
    return [
        one.data.request
        for one in events_on(settings, admin, [Topic.RECORDINGS])
        if isinstance(one.data, RecordingRequested) and one.data.request.repository_id in repository_ids
    ]


def counted_frames(reader: Reader, series: SeriesDefinition) -> dict[int, set[int]]:
    """Covered grid indexes by repository."""
    with reader.snapshot(("series_points",)) as snapshot:
        cells = series_points.known_cells(snapshot.connection, [series.series_id])
    return {
        repository: {index for start, end in known.covered for index in range(start, end)}
        for (_, repository), known in cells.items()
    }


def planned_frames(reader: Reader, series: SeriesDefinition) -> dict[int, set[int]]:
    with reader.snapshot(("series_points",)) as snapshot:
        cells = series_points.known_cells(snapshot.connection, [series.series_id])
    return {
        repository: {index for start, end in known.planned for index in range(start, end)}
        for (_, repository), known in cells.items()
    }
