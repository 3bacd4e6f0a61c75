"""Consumer groups of generations that were dropped: they go with them, or they would seem to fall behind for ever."""

import re
import time
from typing import Final

from sqlalchemy import Engine

from infra.kafka.admin import KafkaAdmin
from infra.topics import PROJECTION_GROUPS
from projections.rebuild.listing import schemas_of

PATIENCE_S: Final = 15.0
"""A projector that keeps a dropped generation current leaves its group within seconds."""
_LOOK_S: Final = 0.5


def forget_dropped(
    engine: Engine, admin: KafkaAdmin, projection: str, timeout_s: float = PATIENCE_S
) -> list[str]:
    """Delete the groups of this projection's generations that are there no more; those in which somebody still is.

    What is left is deleted with the next generation that is dropped.
    """
    pattern = re.compile(re.escape(f"{PROJECTION_GROUPS}{projection}.g") + r"(\d+)")
    deadline_s = time.monotonic() + timeout_s
    while True:
        groups = {name: int(found[1]) for name in admin.groups() if (found := pattern.fullmatch(name))}
        with engine.connect() as connection:
            there = {number for number, _ in schemas_of(connection, projection)}
        left = admin.delete_groups(name for name, number in groups.items() if number not in there)
        if not left or time.monotonic() > deadline_s:
            return left
        time.sleep(_LOOK_S)
