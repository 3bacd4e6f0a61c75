"""A log with something on it, and databases to fold it into."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.catalogue import PROJECTIONS
from schemas.events import (
    BackfillPlanned,
    Lane,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    RecordingRequest,
    RecordingRequested,
    RepositoryRegistered,
    RequestedSeries,
)
from schemas.grid import TimeUnit
from schemas.registry import Payload
from tests.stack import StackUnderTest, fresh_database
from tests.support.projecting import OTHER_SERIES, SERIES, completed, event, failed, result, settings_for

Ends = dict[tuple[str, int], int]
REPOSITORIES = range(100, 140)


@pytest.fixture(scope="module")
def servers_of(lent_stack: StackUnderTest) -> StackUnderTest:
    """Kafka and PostgreSQL of a module; one that stops them says ``own_stack`` instead."""
    return lent_stack


@pytest.fixture(scope="module")
def fresh(
    servers_of: StackUnderTest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Settings]]:
    """Makes an installation in an empty database, all over one log."""
    with ExitStack() as databases:

        def make() -> Settings:
            url = databases.enter_context(fresh_database(servers_of.database_url, "crash"))
            settings = settings_for(url, tmp_path_factory.mktemp("installation"), servers_of.kafka_bootstrap)
            set_up(settings)
            return settings

        yield make


@pytest.fixture(scope="module")
def ends(fresh: Callable[[], Settings]) -> Ends:
    """The ends of all topics after a busy history was published."""
    settings = fresh()
    with Publisher(settings) as publisher:
        publisher.publish([event(payload, at=n) for n, payload in enumerate(history(random.Random(11)))])
    return ends_of(settings)


def ends_of(settings: Settings) -> Ends:
    """Next offset to be written, of every partition that a projection reads."""
    with KafkaAdmin(settings) as admin:
        return {
            (topic.value, number): marks.end
            for topic in sorted({topic for one in PROJECTIONS for topic in one.topics})
            for number, marks in admin.watermarks(topic).items()
        }


def history(random_: random.Random) -> list[Payload]:
    """Something for every projection: plans, repositories, requests and results with repeats, retries and incomplete cells; 2,000 results and as many requests."""
    said: list[Payload] = [
        BackfillPlanned(
            insight_id=7,
            cause=PlanCause.INSIGHT_CREATED,
            scopes=[
                PlannedScope(
                    series=[
                        PlannedSeries(
                            series_id=one, unit=TimeUnit.MONTH, value=1, first_index=600, end_index=612
                        )
                        for one in (SERIES, OTHER_SERIES)
                    ],
                    repositories=list(REPOSITORIES),
                )
            ],
            part=1,
            of=1,
        )
    ]
    said += [
        RepositoryRegistered(repository_id=number, name=f"local/r{number}", path="/p")
        for number in REPOSITORIES
    ]
    for n in range(2_000):
        repository = random_.choice(REPOSITORIES)
        index = random_.randrange(600, 609)
        values = {index + step: random_.randrange(4) for step in range(3)}
        outcome = completed(
            result(values),
            result({}, incomplete={index: (random_.randrange(4), "timeout")}, series_id=OTHER_SERIES),
            repository_id=repository,
            attempt=random_.randrange(1, 5),
            request_id=f"r-{n}",
        )
        said.append(
            RecordingRequested(
                request=RecordingRequest(
                    request_id=f"r-{n}",
                    repository_id=repository,
                    insight_id=7,
                    creator="c",
                    lane=Lane.BACKFILL,
                    series=[
                        RequestedSeries(
                            series_id=SERIES, query="q", unit=TimeUnit.MONTH, value=1, frames=[(600, 612)]
                        )
                    ],
                )
            )
        )
        said.append(failed(outcome, "crashed") if n % 10 == 0 else outcome)
        if n % 7 == 0:
            said.append(said[-1])
    return said
