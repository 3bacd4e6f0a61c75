"""Consumer groups made to forget where they were."""

from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from infra.kafka.security import confluent_options
from infra.settings import Settings
from tests.support.system import eventually

_ANSWER_S: Final = 30.0


def forget_groups(settings: Settings, prefix: str) -> int:
    """Delete every group whose name begins so, with its offsets; how many.

    Waits for members that have ended: as static ones they stay in the group until their session is over.
    """
    client = AdminClient(
        {"bootstrap.servers": settings.require_kafka(), **confluent_options(settings.kafka_security)}
    )
    listed = client.list_consumer_groups(request_timeout=_ANSWER_S).result(_ANSWER_S)
    names = [group.group_id for group in listed.valid if group.group_id.startswith(prefix)]
    for name in names:
        eventually(lambda name=name: _deleted(client, name), f"the group {name} to be empty")  # type: ignore[misc]
    return len(names)


def _deleted(client: AdminClient, name: str) -> bool:
    try:
        client.delete_consumer_groups([name], request_timeout=_ANSWER_S)[name].result(_ANSWER_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
            raise
        return False
    return True
