"""One app of ``millstream worker`` in a process of its own: slot, publisher, agents, and an orderly end."""

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NoReturn

import structlog

from infra import metrics
from infra.installation import refuse_unsound
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.logging import configure_from
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HANDS_APP, HEADS_APP
from schemas.envelope import Position
from schemas.errors import MillstreamError
from schemas.shapes import learn_all
from schemas.topics import Topic
from streams.agent import AgentSpec, Outgoing, Timer
from streams.app import AppConfig, StreamsApp
from streams.batches import BatchContext
from streams.ending import end_process
from streams.process import APPS, HANDS, HEADS
from streams.publishing import encoded
from streams.pulse import Pulse
from streams.slots import Slot

APP_IDS: Final = {HANDS: HANDS_APP, HEADS: HEADS_APP}
_THREADS: Final = 24
_log = structlog.get_logger()


def run_app(settings: Settings, name: str) -> NoReturn:
    """One app, in this process: works until it is asked to stop, then exits."""
    importlib.import_module(
        f"streams.{name}"
    )  # all that it may meet is there to be learnt, before there are threads
    learn_all()
    refuse_unsound(settings)
    app_id = APP_IDS[name]
    slot = Slot.take(settings, app_id)
    slot.watch(lambda error: end_process(f"the slot {slot.instance_id} is lost", error))
    publisher = Publisher(settings, client_id=slot.instance_id)
    with KafkaAdmin(settings) as admin:
        partitions = admin.partitions(Topic.REPOSITORIES)
    if settings.metrics_port is not None:
        # All processes of a machine are given one port: the projector takes it, hands and heads the next two. 0 is any that is free.
        port = settings.metrics_port
        metrics.serve_metrics(port + 1 + APPS.index(name) if port else 0)
    config = AppConfig(
        app_id=app_id,
        bootstrap=settings.require_kafka(),
        security=settings.kafka_security,
        instance_id=slot.instance_id,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        partitions=partitions,
        data_folder=_data_folder(settings),
    )
    asyncio.run(_work(settings, name, slot, publisher, config))
    end_process(f"the loop of {app_id} ended by itself")


def serve_app(settings: Settings, name: str) -> int:
    """One app as a child of the parent; the exit code when it could not start."""
    configure_from(settings, f"worker-{name}")
    try:
        run_app(settings, name)
    except MillstreamError as error:
        _log.error("not_started", error=str(error), remedy=error.remedy)
        return 1


async def _work(settings: Settings, name: str, slot: Slot, publisher: Publisher, config: AppConfig) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(_executor())

    async def publish(outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        return await asyncio.to_thread(lambda: publisher.publish_all(encoded(outgoing)))

    context = BatchContext(publish)
    running: list[StreamsApp] = []
    agents: Sequence[AgentSpec]
    timers: Sequence[Timer] = ()
    if name == HANDS:
        from streams.hands import hands

        mine = hands(settings, slot, context, config.partitions, lambda: running[0].assigned())
        agents, timers = mine.agents, mine.timers
        await mine.warm_up()
    else:
        from streams.heads import heads

        found = heads(settings, slot, context, lambda: running[0].is_leader())
        agents, timers = found.agents, found.timers
    pulse = Pulse(make_engine(settings, Role.WORKER, pool_size=1, name="pulse"), slot)
    app = StreamsApp(config, agents, (*timers, pulse.timer(lambda: running[0].assigned())), context)
    running.append(app)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop)
    await app.run(lambda: _log.info("ready", app=config.app_id, slot=slot.number, partitions=app.assigned()))
    publisher.close()
    slot.close()
    _log.info("stopped", app=config.app_id, slot=slot.number)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Not by returning: the end of the loop would cancel agents, and what is cancelled is acknowledged.
    os._exit(0)


def _data_folder(settings: Settings) -> Path:
    folder = settings.home / "faust"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _executor() -> ThreadPoolExecutor:
    """Room for every wait at once: waiting for a projection or an acknowledgement holds a thread."""
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="wait")
