"""The ends of topics, read from the cluster."""

from collections.abc import Iterable

from infra.kafka.admin import KafkaAdmin
from schemas.topics import Topic


class TopicEnds:
    """Reads where topics end. Threads may share it."""

    def __init__(self, admin: KafkaAdmin) -> None:
        self._admin = admin

    def ends(self, topics: Iterable[Topic]) -> dict[tuple[str, int], int]:
        """Next offset to be written of every partition. Raises TopicMissing, KafkaError."""
        return {
            (str(topic), partition): marks.end
            for topic in topics
            for partition, marks in self._admin.watermarks(topic).items()
        }
