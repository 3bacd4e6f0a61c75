"""Which pushes the firer has passed: only it knows what was searched before a push that is still before it."""

from collections.abc import Mapping
from typing import Protocol

from infra.topics import HEADS_APP
from schemas.topics import Topic
from streams.monitors.knowledge import Pushed


class Groups(Protocol):
    """What groups have passed: ``infra.kafka.admin.KafkaAdmin``."""

    def group_offsets(self, group: str) -> Mapping[tuple[str, int], int]: ...


def passed_by_firer(groups: Groups, pushed: Mapping[int, Pushed]) -> dict[int, Pushed]:
    """Those of these newest pushes that the firer has passed, by repository; blocks.

    What it has passed has its runs on the log. Of the others an earlier push may wait, too: a run that began at the newest
    one alone would take what lies between for searched.
    """
    if not pushed:
        return {}
    passed = groups.group_offsets(HEADS_APP)
    return {
        key: one
        for key, one in pushed.items()
        if passed.get((Topic.REPOSITORIES, one.partition), 0) > one.offset
    }
