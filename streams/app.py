"""The adapter over Faust, typed: the only module that imports it.

Faust is young software with known holes; what keeps them harmless is written here once (DESIGN section 6):
raw bytes decoded by us, one stream per agent, no tables, no topic declared by Faust, no web server, no exception
that leaves an agent's loop, and an end that does not go through Faust's shutdown.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import faust
import msgspec
import structlog

from infra import metrics
from infra.settings import KafkaSecurity
from schemas.envelope import Record
from streams import faults
from streams.agent import AgentSpec, Timer
from streams.batches import BatchContext, Counters, run_batch
from streams.ending import end_process
from streams.taking import batches
from streams.transient import is_transient

MAX_POLL_RECORDS: Final = 100
"""Records per poll. Larger ones let one blocked agent stop the others for seconds (measured)."""
_BUFFERED_POLLS: Final = 5
_DRAIN_S: Final = 10.0
_COMMIT_S: Final = 5.0
_COMMIT_INTERVAL_S: Final = 1.0
_CRASH_POLL_S: Final = 0.05
_MAX_POLL_INTERVAL_S: Final = 24 * 3600.0
"""A long count must not look like a dead consumer; the session tells a dead process."""
_HEARTBEATS_PER_SESSION: Final = 4

_log = structlog.get_logger()


class AppConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a Faust app needs to know. ``instance_id`` is the name of the slot it holds.

    ``data_folder`` exists: Faust makes an (empty) folder of its own in it, else it would in the current one.
    """

    app_id: str
    bootstrap: str
    security: KafkaSecurity
    instance_id: str
    session_timeout_ms: int
    partitions: int
    data_folder: Path


class StreamsApp:
    """One Faust app with its agents and leader timers; ``run`` blocks until it is asked to stop."""

    def __init__(
        self,
        config: AppConfig,
        agents: Sequence[AgentSpec],
        timers: Sequence[Timer],
        context: BatchContext,
    ) -> None:
        self.config = config
        self.counters = {spec.name: Counters() for spec in agents}
        self._context = context
        self._busy = 0
        self._stopping = asyncio.Event()
        self._assigned = asyncio.Event()
        topics = sorted({str(topic) for spec in agents for topic in spec.topics})
        self._app = _faust_app(config, _member_id(config.instance_id, topics))
        self._app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        for spec in agents:
            self._add_agent(faults.under_test(spec))
        for timer in timers:
            self._add_timer(timer)

    def is_leader(self) -> bool:
        """Whether this process runs the leader timers now."""
        return bool(self._app.is_leader())

    def assigned(self) -> dict[str, list[int]]:
        """Partitions owned now, by topic."""
        found: dict[str, list[int]] = {}
        for place in sorted(self._app.consumer.assignment()):
            found.setdefault(place.topic, []).append(place.partition)
        return found

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Work until ``stop``, let the batches in hand end, commit, return: the caller has to exit the process.

        Faust's own shutdown is never run: it acknowledges batches that have not ended.
        """
        # A tick that takes longer than its interval is no news: the next one is skipped.
        logging.getLogger("mode.timers").setLevel(logging.ERROR)
        worker = _Worker(
            self._app,
            loop=asyncio.get_running_loop(),
            override_logging=False,
            redirect_stdouts=False,
            quiet=True,
        )
        worker.spinner = None
        working = asyncio.create_task(worker.start())
        crashed = asyncio.create_task(self._until_crashed(worker, working))
        stopping = asyncio.create_task(self._stopping.wait())
        ready = asyncio.create_task(self._assigned.wait())
        await asyncio.wait({ready, stopping, crashed}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            on_ready()
        await asyncio.wait({stopping, crashed}, return_when=asyncio.FIRST_COMPLETED)
        if crashed.done():
            end_process(f"{self.config.app_id}: Faust stopped working", crashed.result())
        await self._drain()

    def stop(self) -> None:
        """Ask ``run`` to return: the batches in hand end, no other begins. For a signal handler of the loop."""
        self._stopping.set()

    def _add_agent(self, spec: AgentSpec) -> None:
        topic = self._app.topic(
            *spec.topics,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )

        async def consume(stream: Any) -> None:
            error: Exception | None = None
            try:
                async for events in batches(stream, spec.max_batch, spec.within_s):
                    await self._work(spec, [event.message for event in events])
            except Exception as raised:  # noqa: BLE001 - Faust would begin a new stream behind what this one has read
                error = raised
            if error is None and stream.should_stop:
                return  # Faust is ending: who watches it says why
            end_process(f"agent {spec.name}: its stream has ended", error)

        self._app.agent(topic, name=spec.name, concurrency=1)(consume)

    async def _work(self, spec: AgentSpec, messages: Sequence[Any]) -> None:
        """One batch. Returns when it may be acknowledged, else never.

        Everything that could fail stands inside: Faust acknowledges a batch whose consumer raises.
        """
        if self._stopping.is_set():
            await asyncio.Event().wait()
        self._busy += 1
        counters = self.counters[spec.name]
        retries, began_s = counters.retries, time.monotonic()
        try:
            records = [_record(message) for message in messages]
            await run_batch(spec, records, self._context, counters, is_transient=is_transient)
        except asyncio.CancelledError as error:
            end_process(f"agent {spec.name} was cancelled in the middle of a batch", error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch must not be acknowledged
            if not faults.acknowledges_failures():
                end_process(
                    f"agent {spec.name} failed at {_place(messages[0])} to {_place(messages[-1])}", error
                )
        self._busy -= 1
        metrics.AGENT_BATCH_SECONDS.labels(spec.name).observe(time.monotonic() - began_s)
        metrics.AGENT_EVENTS.labels(spec.name).inc(len(messages))
        metrics.AGENT_RETRIES.labels(spec.name).inc(counters.retries - retries)

    def _add_timer(self, timer: Timer) -> None:
        async def tick() -> None:
            if self._stopping.is_set() or faults.silences(timer.name):
                return
            try:
                await timer.tick()
            except Exception as error:  # noqa: BLE001 - classified here, and Faust would only log it
                if not is_transient(error):
                    end_process(f"timer {timer.name} failed", error)
                _log.warning("timer_retry", timer=timer.name, error=str(error))

        self._app.timer(timer.interval_s, on_leader=timer.on_leader, name=timer.name)(tick)

    async def _on_assigned(self, *_: object, **__: object) -> None:
        self._assigned.set()

    async def _until_crashed(self, worker: "_Worker", working: "asyncio.Task[None]") -> BaseException | None:
        while not (worker.crashed or self._app.crashed or working.done()):
            await asyncio.sleep(_CRASH_POLL_S)
            error = self._coordination_error()
            if error is not None:
                return error
        if working.done() and not working.cancelled() and working.exception() is not None:
            return working.exception()
        return worker.crash_reason or self._app.crash_reason

    def _coordination_error(self) -> BaseException | None:
        """Why the group's membership ended. aiokafka logs it and stays alive without partitions, and Faust with it."""
        thread = getattr(self._app.consumer, "_thread", None)
        coordinator = getattr(getattr(thread, "_consumer", None), "_coordinator", None)
        task = getattr(coordinator, "_coordination_task", None)
        if task is None or not task.done() or task.cancelled():
            return None
        error: BaseException | None = task.exception()
        return error

    async def _drain(self) -> None:
        deadline = asyncio.get_running_loop().time() + _DRAIN_S
        while self._busy and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_CRASH_POLL_S)
        await asyncio.sleep(_CRASH_POLL_S)  # the generators acknowledge after the bodies have ended
        with suppress(TimeoutError):
            async with asyncio.timeout(_COMMIT_S):
                # While another commit is under way, which knows nothing of the last batches, a call only waits for it.
                await self._app.consumer.commit()
                await self._app.consumer.commit()


class _Worker(faust.Worker):
    """Faust's worker without its signal handlers: ours let batches end first."""

    def install_signal_handlers(self) -> None:
        return None


def _member_id(instance_id: str, topics: Sequence[str]) -> str:
    """The static member id: of the slot and the topics it reads.

    Kafka gives a static member that comes back in time its old assignment, without asking what it reads now:
    a release with another topic must therefore be another member (aiokafka stops on the old assignment).
    """
    return f"{instance_id}-{crc32(' '.join(topics).encode()):08x}"


def _faust_app(config: AppConfig, member_id: str) -> faust.App:
    return faust.App(
        config.app_id,
        broker=[f"kafka://{address.strip()}" for address in config.bootstrap.split(",")],
        broker_credentials=credentials(config.security),
        store="memory://",
        datadir=str(config.data_folder / config.app_id),
        autodiscover=False,
        web_enabled=False,
        web_tables_enabled=False,
        canonical_url=f"http://{config.instance_id}",  # names the member; two of one host must differ
        topic_allow_declare=False,
        topic_disable_leader=False,
        table_standby_replicas=1,  # no tables: it selects the assignor that keeps partition n together
        stream_wait_empty=False,
        stream_buffer_maxsize=max(4096, _BUFFERED_POLLS * config.partitions * MAX_POLL_RECORDS),
        stream_processing_timeout=_MAX_POLL_INTERVAL_S,
        broker_max_poll_records=MAX_POLL_RECORDS,
        broker_max_poll_interval=_MAX_POLL_INTERVAL_S,
        broker_session_timeout=config.session_timeout_ms / 1000,
        broker_heartbeat_interval=config.session_timeout_ms / 1000 / _HEARTBEATS_PER_SESSION,
        broker_request_timeout=max(90.0, config.session_timeout_ms / 1000),
        broker_commit_interval=_COMMIT_INTERVAL_S,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=member_id,
        producer_threaded=False,
        key_serializer="raw",
        value_serializer="raw",
    )


def credentials(security: KafkaSecurity) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """How to log in to Kafka, in Faust's words."""
    context: ssl.SSLContext | None = None
    if security.protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=security.ca_file)
        if security.certificate_file is not None:
            context.load_cert_chain(security.certificate_file, security.key_file, security.key_password)
    if security.protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def _record(message: Any) -> Record:
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=round((message.timestamp or 0.0) * 1000),
        key=message.key,
        value=message.value,
        # Kafka allows a header without a value: for us that is an empty one.
        headers=tuple((name, bytes(value or b"")) for name, value in pairs),
    )


def _place(message: Any) -> str:
    return f"{message.topic}/{message.partition}@{message.offset}"
