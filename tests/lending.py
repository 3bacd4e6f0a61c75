"""One stack of a test process, lent to one module after the other, each time as if it were new.

A stack of its own costs a module four seconds of processor time before its first test. Modules that stop servers, or change
their settings, take ``own_stack`` all the same.
"""

import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

_TIMEOUT_S: Final = 60.0
_PAUSE_S: Final = 0.1
_GOING: Final = (KafkaError.NON_EMPTY_GROUP, KafkaError.GROUP_ID_NOT_FOUND)
"""A member that was killed is one until its session has run out; and two looks may see one group."""


def empty_kafka(bootstrap: str) -> None:
    """Delete every topic but Kafka's own, and every consumer group. Returns when they are gone; raises TimeoutError."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    deadline_s = time.monotonic() + _TIMEOUT_S
    while left := [*_topics(admin), *_groups(admin)]:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"still there after {_TIMEOUT_S:.0f} s: {', '.join(left)}")
        time.sleep(_PAUSE_S)


def _topics(admin: AdminClient) -> list[str]:
    names = [name for name in admin.list_topics(timeout=_TIMEOUT_S).topics if not name.startswith("__")]
    if names:
        for done in admin.delete_topics(names, operation_timeout=_TIMEOUT_S).values():
            done.result()
    return names


def _groups(admin: AdminClient) -> list[str]:
    listed = admin.list_consumer_groups(request_timeout=_TIMEOUT_S).result()
    names = [group.group_id for group in listed.valid]
    if not names:
        return []
    for done in admin.delete_consumer_groups(names, request_timeout=_TIMEOUT_S).values():
        try:
            done.result()
        except KafkaException as error:
            if error.args[0].code() not in _GOING:
                raise
    return names
