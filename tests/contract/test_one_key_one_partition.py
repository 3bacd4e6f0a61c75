"""One key, one partition, whichever client writes: the partitioner is part of the contract (DESIGN section 4).

The same keys are published by every client that we have, over a real broker, and read back.
"""

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import faust
import kafka
import pytest
from aiokafka import AIOKafkaProducer

from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.kafka.consumer import LogReader
from infra.kafka.partitioner import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.security import kafka_python_options, ssl_context
from infra.settings import Settings
from schemas.ids import repository_id
from streams.app import credentials
from tests.stack import StackUnderTest

PARTITIONS = 8
KEYS = [str(repository_id(f"git.example.com/group/repository-{number}")).encode() for number in range(200)]
Places = Mapping[bytes, set[int]]


@pytest.fixture(scope="module")
def settings(stack: StackUnderTest) -> Settings:
    return Settings(home=stack.home, kafka_bootstrap=stack.kafka_bootstrap)


@pytest.fixture
def topic(settings: Settings) -> Iterator[str]:
    name = f"contract.partitioner.{uuid.uuid4().hex[:8]}"
    with KafkaAdmin(settings) as admin:
        admin.create_topics([NewTopic(name, PARTITIONS, 1, {})])
        yield name
        admin.delete_topics([name])


def places(settings: Settings, topic: str, records: int) -> Places:
    """In which partitions each key lies."""
    found: dict[bytes, set[int]] = {}
    with LogReader(settings) as reader:
        reader.assign({(topic, number): 0 for number in range(PARTITIONS)})
        while records > 0:
            batch = reader.poll(1000, 30.0)
            assert batch, f"{records} records are missing"
            records -= len(batch)
            for record in batch:
                found.setdefault(record.key or b"", set()).add(record.partition)
    return found


def with_confluent(settings: Settings, topic: str, options: dict[str, Any] | None = None) -> None:
    with Publisher(settings, options=options) as publisher:
        publisher.publish_all([(topic, key, b"confluent-kafka", ()) for key in KEYS])


def with_kafka_python(settings: Settings, topic: str) -> None:
    producer = kafka.KafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, **kafka_python_options(settings.kafka_security)
    )
    try:
        for sent in [producer.send(topic, key=key, value=b"kafka-python") for key in KEYS]:
            sent.get(timeout=30)
    finally:
        producer.close()


async def with_aiokafka(settings: Settings, topic: str) -> None:
    login = kafka_python_options(settings.kafka_security)  # the same words, but for TLS
    options = {name: value for name, value in login.items() if not name.startswith("ssl_")}
    context = ssl_context(settings.kafka_security)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, ssl_context=context, **options
    ) as producer:
        for sent in [await producer.send(topic, b"aiokafka", key=key) for key in KEYS]:
            await sent


async def with_faust(settings: Settings, topic: str) -> None:
    app = faust.App(
        "contract",
        broker=f"kafka://{settings.kafka_bootstrap}",
        broker_credentials=credentials(settings.kafka_security),
        web_enabled=False,
        topic_allow_declare=False,
    )
    producer = app.producer
    await producer.start()
    try:
        for key in KEYS:
            await producer.send_and_wait(topic, key, b"faust", partition=None, timestamp=None, headers=None)
    finally:
        await producer.stop()


def test_every_client_puts_a_key_into_the_partition_that_we_compute(settings: Settings, topic: str) -> None:
    with_confluent(settings, topic)
    with_kafka_python(settings, topic)
    asyncio.run(with_aiokafka(settings, topic))
    asyncio.run(with_faust(settings, topic))
    found = places(settings, topic, 4 * len(KEYS))
    assert found == {key: {partition_for(key, PARTITIONS)} for key in KEYS}
    assert {partition for partitions in found.values() for partition in partitions} == set(range(PARTITIONS))


def test_it_would_be_seen_if_a_client_had_its_own_way(settings: Settings, topic: str) -> None:
    """confluent-kafka without our setting: the check above has to fail for nearly all keys."""
    with_confluent(settings, topic, options={"partitioner": "consistent_random"})
    found = places(settings, topic, len(KEYS))
    elsewhere = [key for key in KEYS if found[key] != {partition_for(key, PARTITIONS)}]
    assert len(elsewhere) > len(KEYS) // 2
