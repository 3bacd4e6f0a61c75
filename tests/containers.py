"""The stack in containers, where Docker runs: Apache Kafka and PostgreSQL from their public images."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import docker
from docker.errors import DockerException
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer

from tests.stack import StackUnderTest, new_home

KAFKA_IMAGE: Final = "confluentinc/cp-kafka:7.9.1"
"""Apache Kafka 3.9, the oldest that is supported; the embedded stack is the newest."""
POSTGRES_IMAGE: Final = "postgres:18.1"
_PING_S: Final = 5
_BROKER: Final = {
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "2000",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
}


def docker_answers() -> bool:
    """Whether containers can be started here."""
    try:
        return bool(docker.from_env(timeout=_PING_S).ping())
    except DockerException:
        return False


@contextmanager
def containers_stack() -> Iterator[StackUnderTest]:
    """A broker and a server of their own, gone afterwards."""
    home = new_home()
    broker = KafkaContainer(KAFKA_IMAGE).with_kraft()
    for name, value in _BROKER.items():
        broker.with_env(name, value)
    database = PostgresContainer(
        POSTGRES_IMAGE, username="millstream_admin", dbname="millstream", driver=None
    )
    try:
        with broker, database:
            url = database.get_connection_url()
            yield StackUnderTest(broker.get_bootstrap_server(), url, home, None)
    finally:
        shutil.rmtree(home, ignore_errors=True)
