"""Settings of the stack under test, and topics of a test's own."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.settings import Settings
from tests.stack import StackUnderTest


@pytest.fixture(scope="module")
def settings(stack: StackUnderTest, database: str) -> Settings:
    """Kafka of the run, a database of the module."""
    return Settings(home=stack.home, kafka_bootstrap=stack.kafka_bootstrap, database_url=SecretStr(database))


@pytest.fixture(scope="module")
def admin(settings: Settings) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(settings) as connected:
        yield connected


@pytest.fixture
def make_topic(admin: KafkaAdmin) -> Iterator[Callable[..., str]]:
    """Makes a topic with so many partitions and these settings; all are deleted afterwards."""
    made: list[str] = []

    def make(partitions: int = 1, **settings: str) -> str:
        name = f"test.{uuid.uuid4().hex[:10]}"
        admin.create_topics(
            [NewTopic(name, partitions, 1, {key.replace("_", "."): value for key, value in settings.items()})]
        )
        made.append(name)
        return name

    yield make
    admin.delete_topics(made)
