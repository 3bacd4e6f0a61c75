"""The embedded stack as a whole: real servers, real processes."""

import psycopg

from infra.kafka.admin import KafkaAdmin
from infra.settings import Settings
from tests.stack import StackUnderTest


def test_both_servers_answer(stack: StackUnderTest) -> None:
    with KafkaAdmin(Settings(home=stack.home, kafka_bootstrap=stack.kafka_bootstrap)) as admin:
        assert admin.brokers() >= 1
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute("SELECT current_setting('server_version_num')::int / 10000").fetchone()
    assert row is not None
    assert row[0] >= 15 if stack.endpoints is None else row[0] == 18


def test_each_module_has_a_database_of_its_own(stack: StackUnderTest, database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT current_database() ~ '^test_stack_'").fetchone() == (True,)
