"""The uploads agent over a real installation, in a thread of this process, with a policy of the test's own."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from infra.blobs import BlobStore
from infra.drafts import Drafts
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HANDS_APP
from projections.reading import Reader
from schemas.envelope import Position
from schemas.topics import Topic
from streams.agent import Outgoing
from streams.batches import BatchContext
from streams.leases import Leases
from streams.log_ends import TopicEnds
from streams.publishing import encoded
from streams.repositories.clones import Clones
from streams.repositories.mirror import ClonePolicy
from streams.slots import Slot
from streams.uploads.agent import UploadAgent
from streams.uploads.desk import Desk
from streams.uploads.lifecycle import UploadPolicy

SHORT: Final = UploadPolicy(
    retry_after_s=(0.3, 0.3, 0.3), commit_wait_s=60.0, commit_look_s=0.5, uploading_s=60.0, timeout_s=60.0
)
"""Delays that a test can wait for."""
_TICK_S: Final = 0.05


@contextmanager
def uploads_led(settings: Settings, policy: UploadPolicy = SHORT) -> Iterator[None]:
    """While the block runs, every upload is led on. What the agent raises fails the test."""
    stopping = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_lead(settings, policy, stopping))
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=run, name="uploads-agent")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(60)
    assert not thread.is_alive()
    assert failures == []


async def _lead(settings: Settings, policy: UploadPolicy, stopping: threading.Event) -> None:
    database = make_engine(settings, Role.WORKER, pool_size=4, name="uploads-agent")
    slot = Slot.take(settings, HANDS_APP)
    reader = Reader(database)
    with Publisher(settings, client_id="uploads-agent") as publisher, KafkaAdmin(settings) as admin:

        async def publish(outgoing: Sequence[Outgoing]) -> Sequence[Position]:
            return await asyncio.to_thread(lambda: publisher.publish_all(encoded(outgoing)))

        partitions = admin.partitions(Topic.UPLOADS)
        agent = UploadAgent(
            Desk(reader, TopicEnds(admin), BatchContext(publish), partitions),
            Clones(settings.home, ClonePolicy()),
            Leases(slot, f"{HANDS_APP}.uploads"),
            Drafts(BlobStore(settings.effective_blob_url)),
            blob_url=settings.effective_blob_url,
            assigned=lambda: {Topic.REPOSITORIES.value: range(partitions)},
            at_once=1,
            policy=policy,
        )
        while not stopping.is_set():
            await agent.tick()
            await asyncio.sleep(_TICK_S)
        await agent.settle()
    reader.close()
    slot.close()
    database.dispose()
