"""The embedded stack as a whole: real servers, real processes."""

import psycopg
from confluent_kafka.admin import AdminClient

from tests.stack import StackUnderTest


def test_both_servers_answer(stack: StackUnderTest) -> None:
    metadata = AdminClient({"bootstrap.servers": stack.kafka_bootstrap}).list_topics(timeout=10)
    assert len(metadata.brokers) == 1
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute("SELECT current_setting('server_version_num')::int / 10000").fetchone()
    assert row == (18,)


def test_each_module_has_a_database_of_its_own(stack: StackUnderTest, database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT current_database() ~ '^test_stack_'").fetchone() == (True,)
