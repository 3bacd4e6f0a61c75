"""An installation with the broker to itself, somebody who looks, and a topic of somebody else."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.lag.append_times import AppendTimes
from tests.integration.projections.lag.watching import DAY_MS, Watching
from tests.stack import StackUnderTest, fresh_database
from tests.support.projecting import settings_for


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with fresh_database(lent_stack.database_url, "lag") as url:
        found = settings_for(url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
        set_up(found)
        yield found


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Engine]:
    found = engine(settings, Role.PROJECTOR)
    yield found
    found.dispose()


@pytest.fixture(scope="module")
def admin(settings: Settings) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(settings) as found:
        yield found


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as found:
        yield found


@pytest.fixture
def watching(settings: Settings, database: Engine, admin: KafkaAdmin) -> Iterator[Watching]:
    with AppendTimes(settings) as times:
        yield Watching(settings, database, admin, times)


@pytest.fixture
def topic(admin: KafkaAdmin) -> str:
    """A topic of somebody else, of one partition."""
    name = f"other-{uuid4().hex[:8]}"
    kept = {"retention.ms": str(DAY_MS), "message.timestamp.type": "LogAppendTime"}
    admin.create_topics([NewTopic(name, 1, 1, kept)])
    return name
