"""A database with roles, and empty generations to fold into."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Engine, text

from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.generations import Generation, ensure_generation
from projections.projection import Projection
from tests.support.projecting import settings_for

Connection = psycopg.Connection[tuple[object, ...]]
Place = tuple[Connection, Generation]


@pytest.fixture(scope="module")
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation without Kafka."""
    return settings_for(database, tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def projector(settings: Settings) -> Iterator[Engine]:
    """The projector's engine."""
    engine = make_engine(settings, Role.PROJECTOR, pool_size=2)
    yield engine
    engine.dispose()


@pytest.fixture
def place(settings: Settings, projector: Engine) -> Iterator[Callable[[Projection], Place]]:
    """Makes an empty generation and a connection on its schema."""
    connections: list[Connection] = []

    def make(projection: Projection) -> Place:
        generation = ensure_generation(projector, projection)
        connection = connect(settings, Role.PROJECTOR, autocommit=True)
        connections.append(connection)
        connection.execute(f'set search_path to "{generation.schema_name}"'.encode())
        for table in projection.metadata.sorted_tables:
            connection.execute(f"truncate {table.name}".encode())
        return connection, generation

    yield make
    for connection in connections:
        connection.close()


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[Engine]:
    """The API's engine: under row security."""
    engine = make_engine(settings, Role.APP, pool_size=2)
    with engine.connect() as connection:
        assert connection.scalar(text("select current_user")) == Role.APP.database_name
    yield engine
    engine.dispose()
