"""Events of agents as records for the publisher."""

from collections.abc import Sequence

from infra.kafka.producer import Outgoing as Encoded
from infra.kafka.producer import TopicNotNamed
from schemas.codec import encode
from streams.agent import Outgoing


def encoded(outgoing: Sequence[Outgoing]) -> list[Encoded]:
    """(topic, key, value, headers) of each, in order. Raises TooLarge, TopicNotNamed."""
    found: list[Encoded] = []
    for one in outgoing:
        topics = one.event.type.topics
        topic = one.topic or (topics[0] if len(topics) == 1 else None)
        if topic is None or topic not in topics:
            raise TopicNotNamed(
                f"{one.event.type.name} lives on {' and '.join(topics)}, not on {one.topic}",
                remedy="name the topic where the event is made",
            )
        found.append((topic, *encode(one.event)))
    return found
