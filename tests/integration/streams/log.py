"""What lies on the log, decoded."""

from collections.abc import Iterable

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.settings import Settings
from schemas.codec import decode
from schemas.envelope import Event
from schemas.topics import Topic


def events_on(settings: Settings, admin: KafkaAdmin, topics: Iterable[Topic]) -> list[Event]:
    """Every event on these topics up to their ends as they are now."""
    places = {
        (str(topic), number): marks for topic in topics for number, marks in admin.watermarks(topic).items()
    }
    left = {place: marks.end for place, marks in places.items() if marks.end > marks.start}
    found: list[Event] = []
    if not left:
        return found
    with LogReader(settings) as reader:
        reader.assign({place: places[place].start for place in left})
        while left:
            for record in reader.poll(1_000, 0.2):
                decoded = decode(record)
                if isinstance(decoded, Event):
                    found.append(decoded)
                place = (record.topic, record.partition)
                if record.offset + 1 >= left.get(place, record.offset + 2):
                    del left[place]
    return found
