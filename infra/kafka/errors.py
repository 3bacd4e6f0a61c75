"""What can go wrong between us and Kafka. Every message says what to do next."""

from schemas.errors import MillstreamError, MustStop


class KafkaError(MillstreamError):
    """Kafka could not do what was asked."""


class KafkaUnreachable(KafkaError):
    """No broker answered in time."""


class TopicMissing(KafkaError):
    """A topic that is needed is not there: workers never create one."""


class GroupBusy(KafkaError):
    """A consumer group has members, so its offsets are theirs to commit."""


class PublishFailed(KafkaError):
    """The broker did not acknowledge an event: it may or may not be on the log, so publish it again with the same id."""


class ReadFailed(KafkaError):
    """Reading cannot go on."""


class OffsetOutOfRange(MustStop):
    """The log does not hold the offset that was asked for: it was cut, or is another log."""


def topic_missing(topic: str) -> TopicMissing:
    """The error for a topic that is not there."""
    return TopicMissing(f"the topic {topic} does not exist", remedy="millstream topics apply")
