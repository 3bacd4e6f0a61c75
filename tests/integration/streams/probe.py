"""A Faust app with agents made for tests, in a process of its own: ``python -m tests.integration.streams.probe JSON``.

It writes one JSON object per line to standard output: ready, each batch that an agent began, each tick.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from infra.settings import KafkaSecurity
from schemas.envelope import Position
from schemas.events import InsightCreated, RecordingDispatched, RepositoryRegistered
from streams.agent import AgentSpec, Context, Outgoing, Received, Timer
from streams.app import AppConfig, StreamsApp
from streams.batches import BatchContext


class ProbeAgent(msgspec.Struct, frozen=True):
    """``block_s``: how long each batch takes. ``bug_at``: the handler raises in the batch that holds the n-th event."""

    name: str
    topics: tuple[str, ...]
    block_s: float = 0.0
    bug_at: int = 0
    max_batch: int = 500


class Probe(msgspec.Struct, frozen=True):
    """What to run."""

    app_id: str
    bootstrap: str
    instance_id: str
    agents: tuple[ProbeAgent, ...]
    partitions: int = 8
    session_timeout_ms: int = 6_000
    ticks: bool = False


def say(kind: str, **fields: Any) -> None:
    """One line, with the time in seconds of the machine's clock."""
    sys.stdout.write(json.dumps({"kind": kind, "at": time.time(), **fields}) + "\n")
    sys.stdout.flush()


def spec_of(agent: ProbeAgent) -> AgentSpec:
    """The agent: says what it got, then blocks, or fails, as told."""
    seen = 0

    async def handle(batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        nonlocal seen
        say(
            "batch",
            agent=agent.name,
            positions=[str(one.position) for one in batch],
            appended=[one.appended_at.timestamp() for one in batch],
        )
        seen += len(batch)
        if agent.bug_at and seen >= agent.bug_at:
            raise ValueError("a bug made for the test")
        if agent.block_s:
            await asyncio.sleep(agent.block_s)
        return ()

    return AgentSpec(
        name=agent.name,
        topics=agent.topics,  # type: ignore[arg-type]
        types=(RepositoryRegistered, RecordingDispatched, InsightCreated),
        handler=handle,
        max_batch=agent.max_batch,
    )


async def publish_nothing(outgoing: Sequence[Outgoing]) -> Sequence[Position]:
    """These agents publish nothing."""
    return []


async def run(probe: Probe) -> None:
    """Run until SIGTERM."""

    async def tick() -> None:
        say("tick")

    async def report() -> None:
        say("assigned", partitions=app.assigned())

    timers = [Timer(name="report", interval_s=0.2, tick=report, on_leader=False)]
    if probe.ticks:
        timers.append(Timer(name="tick", interval_s=0.2, tick=tick))
    config = AppConfig(
        app_id=probe.app_id,
        bootstrap=probe.bootstrap,
        security=KafkaSecurity(),
        instance_id=probe.instance_id,
        session_timeout_ms=probe.session_timeout_ms,
        partitions=probe.partitions,
        data_folder=Path(os.environ["MILLSTREAM_HOME"]),
    )
    app = StreamsApp(
        config, [spec_of(agent) for agent in probe.agents], timers, BatchContext(publish_nothing)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, app.stop)
    await app.run(lambda: say("ready", partitions=app.assigned()))
    say("stopped")
    os._exit(0)


def main() -> None:
    """``python -m tests.integration.streams.probe PROBE``."""
    asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Probe)))


if __name__ == "__main__":
    main()
