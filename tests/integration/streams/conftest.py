"""An installation with topics of its own: agents read whole topics, so tests must not share them."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.settings import Settings
from tests.stack import StackUnderTest


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest) -> Settings:
    """Settings of a stack that was set up."""
    found = Settings(
        home=lent_stack.home,
        kafka_bootstrap=lent_stack.kafka_bootstrap,
        database_url=SecretStr(lent_stack.database_url),
    )
    set_up(found)
    return found


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as found:
        yield found


@pytest.fixture(scope="module")
def admin(settings: Settings) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(settings) as found:
        yield found
