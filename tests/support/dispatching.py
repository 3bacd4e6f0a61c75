"""A whole system with thousands of tiny repositories, to see who is counted when. All of them are one git directory under many names: what is asked here is the order of counting, which is real."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from infra.kafka.producer import Publisher
from infra.postgres.connect import connect
from infra.postgres.role import Role
from schemas.codec import new_event
from schemas.envelope import Position
from schemas.events import InsightCreated, RepositoryRegistered, SeriesDefinition
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, repository_id, series_id, stable_id
from schemas.registry import Payload
from tests.support.repositories import RepositoryBuilder
from tests.support.system import RunningSystem, eventually

MANY = 2_000
FEW = 10
FRAMES = 3
RATE = "insights.query.worker.rateLimit"
BURST = "insights.query.worker.rateLimitBurst"
OPEN = frozenset(("queued", "errored", "processing"))
CONCURRENCY = "insights.query.worker.concurrency"
JOBS = "live.insights_query_runner_jobs"


@dataclass(frozen=True, slots=True)
class Crowd:
    """The system, its publisher, and a connection that reads the jobs as they are."""

    system: RunningSystem
    publisher: Publisher
    database: "psycopg.Connection[tuple[Any, ...]]"

    def say(self, *payloads: Payload) -> list[Position]:
        """Publish as somebody outside would."""
        return self.publisher.publish(
            [new_event(one, source="//test", time=datetime.now(UTC)) for one in payloads]
        )

    def set(self, key: str, value: float | None) -> None:
        """Change a site setting by its command; None gives back the default."""
        words = ("unset", key) if value is None else ("set", key, f"{value:g}")
        self.system.cli("settings", *words)

    def create(self, title: str, query: str, places: Sequence[int], creator: str) -> int:
        """An insight over these repositories, said by ``creator``."""
        chosen = sorted(repository_id(name_of(place)) for place in places)
        identity = SeriesIdentity(query=query, repositories=chosen)
        insight_id = stable_id(title)
        self.say(
            InsightCreated(
                insight_id=insight_id,
                title=title,
                creator=creator,
                created_at=datetime.now(UTC),
                frames=FRAMES,
                series=[
                    SeriesDefinition(
                        series_id=series_id(identity),
                        label=query,
                        query=query,
                        unit=TimeUnit.MONTH,
                        value=1,
                        repositories=chosen,
                    )
                ],
            )
        )
        return insight_id

    def states(self, insight_id: int) -> dict[str, int]:
        """Jobs of an insight by state."""
        return dict(
            self.rows(f"select state, count(*) from {JOBS} where insight_id = %s group by 1", insight_id)
        )

    def wait_asked(self, insight_id: int, number: int) -> None:
        """Until all requests of the insight are jobs."""
        eventually(lambda: sum(self.states(insight_id).values()) == number, f"{number} jobs", timeout_s=120.0)

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What the database answers, now."""
        self.database.execute("set millstream.denied_repositories = '{}'")
        return self.database.execute(query.encode(), parameters).fetchall()

    def one(self, query: str, *parameters: object) -> Any:
        """The first column of the first row."""
        return self.rows(query, *parameters)[0][0]


def name_of(place: int) -> str:
    """The repository's name."""
    return f"crowd.test/r{place:05}"


def crowd(system: RunningSystem, folder: Path, number: int = MANY) -> Crowd:
    """Register the repositories and wait until all are ready."""
    builder = RepositoryBuilder(folder / "tiny")
    now = datetime.now(UTC)
    builder.commit(now - timedelta(days=70), {"a.txt": "needle\nneedle\n"})
    builder.commit(now - timedelta(days=40), {"b.txt": "needle\n"})
    path = str(builder.build())
    settings = system.settings()
    found = Crowd(
        system,
        Publisher(settings),
        connect(settings, Role.WORKER, autocommit=True),
    )
    found.set("repositories.pollIntervalSeconds", 0)
    found.say(
        *(
            RepositoryRegistered(repository_id=repository_id(name_of(place)), name=name_of(place), path=path)
            for place in range(number)
        )
    )
    eventually(
        lambda: found.one("select count(*) from live.repo_names where clone_state = 'ready'") == number,
        f"{number:,} repositories to be ready",
        timeout_s=240.0,
    )
    return found


def end(home: Crowd, insight: int) -> None:
    """Let nothing of it wait, so that the next test finds an empty queue."""
    home.set(RATE, None)
    home.set(CONCURRENCY, None)
    home.system.cli("insight", "cancel", str(insight))
    eventually(lambda: not OPEN & home.states(insight).keys(), "an empty queue", timeout_s=120.0)


def say(text: str) -> None:
    """Shown when the test fails, or with ``-s``."""
    sys.stdout.write(text + "\n")
