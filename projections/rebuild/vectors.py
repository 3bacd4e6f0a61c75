"""Where generations stand, and how far one has to be read. Pure."""

from collections.abc import Collection, Mapping, Set
from typing import Final

import msgspec

from infra.kafka.admin import Watermarks
from projections.rebuild.errors import RebuildFailed
from projections.runner import identity
from projections.runner.checkpoint import Checkpoint
from projections.runner.errors import LogMismatch, LogTruncated

Partition = tuple[str, int]
"""(topic, partition)."""
Vector = Mapping[Partition, int]
"""Next offsets."""
Marks = Mapping[str, Mapping[int, Watermarks]]

RESTORE: Final = "Restore the topic from a copy, and set its retention as `millstream topics apply` does; the live generation still serves."


class Progress(msgspec.Struct, frozen=True):
    """``done`` of ``of_all`` records."""

    done: int
    of_all: int

    @property
    def left(self) -> int:
        return self.of_all - self.done


def starts(marks: Marks) -> dict[Partition, int]:
    """The first offset that each partition still holds."""
    return {(topic, number): at.start for topic, found in marks.items() for number, at in found.items()}


def require_whole(marks: Marks, transient: Collection[str], begun: Vector) -> None:
    """Raises RebuildFailed (LOG_TRUNCATED) where a topic of truth has lost what this generation has to read.

    ``begun``: next offsets of the partitions that it has begun.
    """
    for (topic, number), start in sorted(starts(marks).items()):
        if topic not in transient and start > begun.get((topic, number), 0):
            raise RebuildFailed(
                f"LOG_TRUNCATED: {topic}/{number} begins at {start}: what came before is lost, so the rows cannot be made again",
                remedy=RESTORE,
            )


def require_same_log(
    folded: Collection[Checkpoint], cluster_id: str, topic_ids: Mapping[str, bytes], marks: Marks
) -> None:
    """Raises RebuildFailed (LOG_MISMATCH) where the log is not the one that ``folded``, read before it, were read from.

    What is filled from it could never stand where they stand. Topics that are not read any more are passed over.
    """
    for one in folded:
        at = marks.get(one.topic, {}).get(one.partition)
        if at is None:
            continue
        try:
            identity.check(one, cluster_id, topic_ids[one.topic], at, one.last_crc32)
        except LogMismatch as error:
            raise RebuildFailed(f"LOG_MISMATCH: {error}", remedy=error.remedy) from error
        except LogTruncated:  # refused where it matters (require_whole)
            continue


def ends_beside(marks: Marks, live: Vector) -> dict[Partition, int]:
    """How far a generation is filled beside the live one: never past it, for it could not be compared any more.

    Topics that the live one does not read at all are read to their ends.
    """
    known = {topic for topic, _ in live}
    return {
        (topic, number): max(at.start, live.get((topic, number), at.start) if topic in known else at.end)
        for topic, found in marks.items()
        for number, at in found.items()
    }


def log_ends(marks: Marks) -> dict[Partition, int]:
    """The ends of the log."""
    return {(topic, number): at.end for topic, found in marks.items() for number, at in found.items()}


def progress(begins: Vector, ends: Vector, at: Vector) -> Progress:
    """Records folded of those to fold."""
    of_all = sum(max(0, end - begins.get(place, 0)) for place, end in ends.items())
    left = sum(max(0, end - at.get(place, begins.get(place, 0))) for place, end in ends.items())
    return Progress(max(0, of_all - left), of_all)


def behind(new: Vector, live: Vector) -> dict[Partition, int]:
    """By how many offsets ``new`` is behind ``live``, where it is."""
    return {place: at - new.get(place, 0) for place, at in live.items() if new.get(place, 0) < at}


def same(new: Vector, live: Vector, transient: Set[str]) -> bool:
    """Whether both stand at one vector, over the partitions that the live one has.

    A topic that expires may have lost what the live one has still to read: there the new one begins later.
    """
    return all(
        new.get(place, 0) == at or (place[0] in transient and new.get(place, 0) > at)
        for place, at in live.items()
    )


def share(places: Collection[Partition], worker: int, workers: int) -> list[Partition]:
    """The partitions of one worker: partition n of all topics together, as the range assignor gives them."""
    return sorted(place for place in places if place[1] % workers == worker)


def named(vector: Vector) -> dict[str, int]:
    """With ``topic/partition`` as keys."""
    return {f"{topic}/{number}": at for (topic, number), at in sorted(vector.items())}


def unnamed(vector: Mapping[str, int]) -> dict[Partition, int]:
    """The inverse of ``named``."""
    return {
        (topic, int(number)): at
        for place, at in vector.items()
        for topic, _, number in [place.rpartition("/")]
    }
