"""Work for agents while faults strike: repositories and insights whose every value is known beforehand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from infra.kafka.errors import KafkaError
from infra.kafka.producer import Publisher
from projections.reading import Reader
from projections.recordings import queries as recordings
from projections.series_points import queries as series_points
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import InsightCreated, RepositoryRegistered, RepositoryRenamed, SeriesDefinition
from schemas.ids import aggregate_id, repository_id
from tests.support.load import Acknowledged
from tests.support.repositories import RepositoryBuilder
from tests.support.system import eventually
from tests.unit.streams.events import definition

SOURCE: Final = "//tests/work"
FRAMES: Final = 3
WAIT_S: Final = 240.0
_NEWEST: Final = 8
_OVER_ALL: Final = 10
"""So that fifty rounds are ten times the work of five, and not a hundred times."""


class Work:
    """What was asked for, and what has to come of it. A repeat is said with every fact, and something illegal."""

    def __init__(self, publisher: Publisher, folder: Path) -> None:
        self._publisher = publisher
        self._folder = folder
        self.acknowledged: list[Acknowledged] = []
        self.matches: dict[int, int] = {}
        self.series: dict[int, SeriesDefinition] = {}

    def register(self, number: int) -> None:
        """Repository ``number``, in which the word stands ``number`` times since long ago."""
        name = f"tests.example/work/{number}"
        builder = RepositoryBuilder(self._folder / str(number))
        builder.commit(datetime.now(UTC) - timedelta(days=700), {"a.txt": "needle\n" * number})
        registered = RepositoryRegistered(
            repository_id=repository_id(name), name=name, path=str(builder.build())
        )
        stranger = RepositoryRenamed(repository_id=repository_id(f"{name}/unknown"), name=f"{name}/new")
        self._say(_event(registered), _event(stranger))
        self.matches[registered.repository_id] = number

    def create(self, number: int) -> None:
        """An insight with a series of its own, over the newest repositories; every tenth over all, those to come too."""
        newest = None if number % _OVER_ALL == 0 else sorted(list(self.matches)[-_NEWEST:])
        series = definition(f"needle count:{10_000 + number}", repositories=newest)
        created = InsightCreated(
            insight_id=aggregate_id("insight", "tests", f"work {number}"),
            title=f"work {number}",
            creator="tests",
            created_at=datetime.now(UTC),
            series=[series],
            frames=FRAMES,
        )
        again = _event(created)  # under another id: it exists already
        self._say(_event(created), again)
        self.series[created.insight_id] = series

    def open_jobs(self, reader: Reader) -> int:
        """Requests without an outcome, as projected now."""
        with reader.snapshot(("recordings",)) as snapshot:
            found = recordings.progress(snapshot.connection, self.series)
        return sum(one.pending for one in found.values())

    def wait_done(self, reader: Reader, timeout_s: float = WAIT_S) -> None:
        """Until nothing is missing; fails with what is, when the time is over."""
        missing = self.problems(reader)

        def done() -> bool:
            nonlocal missing
            missing = self.problems(reader)
            return not missing

        try:
            eventually(done, "all values", timeout_s=timeout_s, poll_s=0.5)
        except AssertionError as error:
            raise AssertionError(f"after {timeout_s:g} s: {missing[:5]}") from error

    def problems(self, reader: Reader) -> list[str]:
        """Cells that are not there, or wrong, in words; empty when every value is the known one."""
        ids = [one.series_id for one in self.series.values()]
        with reader.snapshot(("series_points",)) as snapshot:
            progress = series_points.progress(snapshot.connection, ids)
            found = {
                (series_id, cell.repository_id, cell.index): cell.value
                for series_id in ids
                for cell in series_points.per_repository(snapshot.connection, series_id)
            }
        said: list[str] = []
        for insight_id, series in self.series.items():
            one = progress.get(series.series_id)
            if one is None:
                said.append(f"insight {insight_id} was never planned")
                continue
            for repository in series.repositories or self.matches:
                expected = self.matches[repository]
                values = [
                    value
                    for (series_id, where, _), value in sorted(found.items())
                    if (series_id, where) == (series.series_id, repository)
                ]
                if values != [expected] * FRAMES:
                    said.append(f"insight {insight_id} in repository {repository}: {values}, not {expected}")
        return said

    def _say(self, *events: Event) -> None:
        """The first one twice; until all are acknowledged."""
        said = [*events, events[0]]
        while True:
            try:
                positions = self._publisher.publish(said)
                break
            except KafkaError:
                continue
        self.acknowledged += [
            Acknowledged(one, position) for one, position in zip(said, positions, strict=True)
        ]


def _event(payload: InsightCreated | RepositoryRegistered | RepositoryRenamed) -> Event:
    return new_event(payload, source=SOURCE, time=datetime.now(UTC))


def numbers(work: Work, count: int) -> Sequence[int]:
    """The next numbers of repositories."""
    return range(len(work.matches) + 1, len(work.matches) + 1 + count)
