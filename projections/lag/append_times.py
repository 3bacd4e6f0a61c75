"""When the next record to read was appended: fetched from the log itself, once for each (partition, offset).

Asking Kafka for "the first offset at this time" would be the wrong way round: the offset is known, and the time is wanted.
"""

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Self

import structlog

from infra.kafka.consumer import LogReader, Partition
from infra.kafka.errors import KafkaError
from infra.settings import Settings

Place = tuple[str, int, int]
"""(topic, partition, next offset to read)."""
_OPTIONS: Final = {
    # One record is wanted of each partition; what comes with it is thrown away.
    "fetch.message.max.bytes": 32_768,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1_024,
    "fetch.wait.max.ms": 50,
    "isolation.level": "read_uncommitted",  # an open transaction of somebody else is no reason to wait
}
_MOST_AT_ONCE: Final = 2_000
_POLL_S: Final = 0.1
_log = structlog.get_logger()


class AppendTimes:
    """For one thread. Remembers what it was asked last time, no more."""

    def __init__(self, settings: Settings, budget_s: float = 1.5) -> None:
        self._settings = settings
        self._budget_s = budget_s
        self._reader: LogReader | None = None
        self._known: dict[Place, float | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def of(self, places: Iterable[Place]) -> Mapping[Place, float]:
        """Seconds since 1970 of those that could be read within the budget.

        Where the offset itself holds nothing that is delivered (compacted away, or a transaction's marker), the time is
        that of the first record behind it.
        """
        wanted = set(places)
        self._known = {place: at for place, at in self._known.items() if place in wanted}
        deadline_s = time.monotonic() + self._budget_s
        missing = sorted(wanted - self._known.keys())
        # Several readers of one partition ask for different offsets: a round reads one of each partition.
        while missing and time.monotonic() < deadline_s:
            round_: dict[Partition, int] = {}
            later: list[Place] = []
            for topic, number, offset in missing:
                if (topic, number) in round_:
                    later.append((topic, number, offset))
                else:
                    round_[topic, number] = offset
            self._read(round_, deadline_s)
            missing = later
        return {place: at for place, at in self._known.items() if at is not None}

    def _read(self, places: Mapping[Partition, int], deadline_s: float) -> None:
        left = dict(places)
        reader = self._reader = self._reader or LogReader(
            self._settings, client_id="millstream-lag", options=_OPTIONS
        )
        try:
            reader.assign(left)
            while left and time.monotonic() < deadline_s:
                for record in reader.poll(_MOST_AT_ONCE, _POLL_S):
                    offset = left.pop((record.topic, record.partition), None)
                    if offset is not None:
                        place = (record.topic, record.partition, offset)
                        self._known[place] = record.timestamp_ms / 1_000
            reader.assign({})
        except KafkaError as error:
            # A record that expired meanwhile, or a broker that is away: not known this time.
            _log.info("append_times_not_read", error=str(error))
            self.close()
