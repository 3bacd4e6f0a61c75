"""One micro-batch of one agent: decode, handle, publish, retry. Returns only when it may be acknowledged.

Pure of Kafka: records come in, a publishing function goes out, so that every path is tested without a broker.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from schemas.codec import Undecodable, UnknownType, UnknownVersion, decode
from schemas.envelope import Event, Position, Record
from schemas.errors import NeedsUpgrade
from schemas.registry import REGISTRY, Registry
from streams.agent import AgentSpec, Outgoing, Received

Publish = Callable[[Sequence[Outgoing]], Awaitable[Sequence[Position]]]
FIRST_BACKOFF_S: Final = 0.1
LAST_BACKOFF_S: Final = 10.0

_log = structlog.get_logger()


class Counters(msgspec.Struct):
    """What an agent passed over or tried again, since its process started."""

    handled: int = 0
    undecodable: int = 0
    unknown_type: int = 0
    retries: int = 0


class BatchContext:
    """The context of handlers in a real process."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        return await self._publish(outgoing)


def received(
    spec: AgentSpec, records: Sequence[Record], counters: Counters, registry: Registry = REGISTRY
) -> list[Received]:
    """The events of ``records`` that the agent is for, in order.

    What is no event is counted, logged and passed over: the projections keep it as a dead letter.
    Raises NeedsUpgrade for a version of one of the agent's types that this build cannot read.
    """
    found: list[Received] = []
    names = {registered.name for registered in registry if registered.payload in spec.types}
    for record in records:
        decoded = decode(record, registry)
        match decoded:
            case Event():
                if isinstance(decoded.data, spec.types):
                    appended_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
                    found.append(Received(decoded, record.position, appended_at))
            case Undecodable():
                counters.undecodable += 1
                _log.warning(
                    "undecodable",
                    agent=spec.name,
                    position=str(record.position),
                    reason=decoded.reason,
                    path=decoded.path,
                )
            case UnknownType():
                counters.unknown_type += 1
            case UnknownVersion():
                if decoded.name in names:
                    raise NeedsUpgrade(
                        f"{record.position} holds {decoded.name} v{decoded.version}, which this build cannot read",
                        remedy="Install the release that published it; the agent goes on from this record.",
                    )
    return found


async def run_batch(
    spec: AgentSpec,
    records: Sequence[Record],
    context: BatchContext,
    counters: Counters,
    *,
    is_transient: Callable[[BaseException], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Handle one batch and publish what it caused. Transient errors are retried for ever, others are raised."""
    events = received(spec, records, counters)
    if not events:
        return
    backoff_s = FIRST_BACKOFF_S
    while True:
        try:
            outgoing = await spec.handler(events, context)
            if outgoing:
                await context.publish(outgoing)
        except Exception as error:
            if not is_transient(error):
                raise
            counters.retries += 1
            _log.warning(
                "batch_retry", agent=spec.name, events=len(events), backoff_s=backoff_s, error=str(error)
            )
            await sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)
        else:
            counters.handled += len(events)
            return
