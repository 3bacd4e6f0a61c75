"""A log of one's own and an installation on it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from tests.stack import StackUnderTest, fresh_database
from tests.support.projecting import settings_for


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with fresh_database(lent_stack.database_url, "rebuild") as url:
        found = settings_for(url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
        set_up(found)
        yield found


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


@pytest.fixture(scope="module")
def projector(settings: Settings) -> Iterator[Engine]:
    database = engine(settings, Role.PROJECTOR)
    yield database
    database.dispose()


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    database = engine(settings, Role.APP)
    reader = Reader(database)
    yield reader
    reader.close()
    database.dispose()
