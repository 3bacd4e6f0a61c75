"""What a rebuild would do: how many events, how long, how large. From a sample that is folded aside and dropped again."""

import threading
import time
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Engine

from infra.kafka.admin import KafkaAdmin
from infra.settings import Settings
from projections.generations import live_generations
from projections.projection import Projection
from projections.rebuild.filling import BULK_LINGER_S, Filler
from projections.rebuild.holding import vector_of
from projections.rebuild.listing import size_bytes
from projections.rebuild.until import ends_until
from projections.rebuild.vectors import Partition, Vector, log_ends, progress, require_whole, starts
from projections.runner.bound import Bound
from projections.verification.scratch import scratch_generation

SAMPLE_EVENTS: Final = 20_000
_SAMPLE_S: Final = 5.0
_POLL_S: Final = 0.01


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """``seconds`` and ``size_bytes`` are guesses from ``sampled`` events, by one worker; None where nothing was sampled."""

    projection: str
    from_generation: int
    events: int
    sampled: int
    seconds: float | None
    size_bytes: int | None
    live_size_bytes: int


def estimate(
    settings: Settings,
    engine: Engine,
    one: Projection,
    *,
    until: datetime | None = None,
    until_position: str | None = None,
    stop: threading.Event | None = None,
) -> Estimate:
    """Change nothing, and say what a rebuild would do.

    Raises what a rebuild would be refused with: RebuildFailed (the log was cut), RebuildRefused (an unknown position).
    """
    with KafkaAdmin(settings) as admin:
        marks = {topic.value: admin.watermarks(topic) for topic in one.topics}
        ends = log_ends(marks)
        if until is not None or until_position is not None:
            ends = ends_until(settings, admin, one, marks, until, until_position)
    require_whole(marks, {topic.value for topic in one.transient}, {})
    begins = starts(marks)
    events = progress(begins, ends, begins).of_all
    with engine.connect() as connection:
        live = live_generations(connection).get(one.name)
        live_bytes = size_bytes(connection, live.schema_name) if live is not None else 0
    sampled, seconds, grown = _sample(settings, engine, one, begins, ends, stop or threading.Event())
    return Estimate(
        projection=one.name,
        from_generation=live.number if live is not None else 0,
        events=events,
        sampled=sampled,
        seconds=seconds * events / sampled if sampled else None,
        size_bytes=round(grown * events / sampled) if sampled else None,
        live_size_bytes=live_bytes,
    )


def part(begins: Vector, ends: Vector, most: int) -> dict[Partition, int]:
    """Ends of a sample: the same share of every partition, ``most`` records or a few more in all. Pure."""
    of_all = sum(max(0, end - begins.get(place, 0)) for place, end in ends.items())
    share = min(1.0, most / of_all) if of_all else 0.0
    return {
        place: begins.get(place, 0) + -int(-(max(0, end - begins.get(place, 0)) * share) // 1)
        for place, end in ends.items()
    }


def _sample(
    settings: Settings,
    engine: Engine,
    one: Projection,
    begins: Vector,
    ends: Vector,
    stop: threading.Event,
) -> tuple[int, float, int]:
    """(events folded, seconds that they took, bytes that they left)."""
    sample = part(begins, ends, SAMPLE_EVENTS)
    if progress(begins, sample, begins).of_all == 0:
        return 0, 0.0, 0
    with scratch_generation(settings, engine, one) as scratch:
        with engine.connect() as connection:
            empty = size_bytes(connection, scratch.schema_name)
        filler = Filler(settings, one, scratch, Bound(sample), BULK_LINGER_S)
        filler.start()
        try:
            while not filler.at and not stop.is_set():
                filler.check()
                time.sleep(_POLL_S)
            began_s = time.monotonic()
            while not filler.reached(sample) and time.monotonic() - began_s < _SAMPLE_S and not stop.is_set():
                time.sleep(_POLL_S)
            took_s = time.monotonic() - began_s
        finally:
            filler.close()
        with engine.connect() as connection:
            at = vector_of(connection, scratch.schema_name)
            size = size_bytes(connection, scratch.schema_name)
    return progress(begins, sample, at).done, took_s, max(0, size - empty)
