"""Records that were read before, read once more: for the rare batch that has to be folded in parts."""

import time
from collections.abc import Sequence
from typing import Final

from infra.kafka.consumer import LogReader
from infra.kafka.errors import KafkaError
from infra.settings import Settings
from projections.runner.checkpoint import Move
from schemas.envelope import Record

_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.5
_AT_ONCE: Final = 4_000


def read_again(settings: Settings, moves: Sequence[Move]) -> list[Record]:
    """What lies between where each partition of a batch was fetched from and its last record, that one included.

    Each partition in its order. Raises KafkaError when the broker does not give it in time; OffsetOutOfRange when it is gone.
    """
    lasts = {(move.topic, move.partition): move.last_offset for move in moves}
    found: list[Record] = []
    deadline_s = time.monotonic() + _TIMEOUT_S
    with LogReader(settings, client_id="millstream-again") as reader:
        reader.assign({(move.topic, move.partition): move.fetched_from for move in moves})
        while lasts:
            for record in reader.poll(_AT_ONCE, _POLL_S):
                place = (record.topic, record.partition)
                last = lasts.get(place, -1)
                if record.offset <= last:
                    found.append(record)
                if record.offset >= last and lasts.pop(place, None) is not None:
                    reader.pause([place])
            if lasts and time.monotonic() > deadline_s:
                raise KafkaError(
                    f"{', '.join(f'{topic}/{number}' for topic, number in sorted(lasts))} could not be read again "
                    f"within {_TIMEOUT_S:g} s",
                    remedy="Nothing to do while the broker is slow: the projector tries again.",
                )
    return found
