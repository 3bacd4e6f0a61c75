"""Looks, judges with windows of seconds, and reads back what was kept; and consumers that are not ours."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Engine

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.lag.append_times import AppendTimes
from projections.lag.model import CanaryReport, GroupReport, Kind
from projections.lag.observe import Observer
from projections.lag.report import Windows
from projections.lag.sampler import Sampler
from projections.lag.states import Policy, State
from projections.lag.store import lag_report
from tests.support.system import eventually

QUICK: Final = Policy(
    window_s=4.0, floor_records=20, floor_s=0.5, stall_after_s=2.0, stop_after_s=1.0, interval_s=0.5
)
POLICIES: Final = dict.fromkeys(Kind, QUICK)
POISON: Final = b"x"
DAY_MS: Final = 86_400_000


class Watching:
    """Looks, and keeps, and reads what was kept, as the sampler and those who ask it do."""

    def __init__(self, settings: Settings, database: Engine, admin: KafkaAdmin, times: AppendTimes) -> None:
        self._sampler = Sampler(settings, database, threading.Event(), policies=POLICIES)
        self._database = database
        self._observer = Observer(admin, times)
        self._windows = Windows(POLICIES)

    def group(self, name: str) -> GroupReport:
        """One look, read back."""
        self._sampler.look(self._observer, self._windows, CanaryReport())
        with self._database.connect() as connection:
            found = {one.name: one for one in lag_report(connection) if one.latest}
        return found[name]

    def until(
        self,
        name: str,
        state: State,
        *,
        meanwhile: Callable[[], object] = lambda: None,
        timeout_s: float = 60.0,
    ) -> GroupReport:
        """Look again and again until the group is in this state."""

        def reached() -> GroupReport | None:
            meanwhile()
            found = self.group(name)
            return found if found.state is state else None

        return eventually(reached, f"{name} to be {state}", timeout_s=timeout_s, poll_s=0.2)


@contextmanager
def member(settings: Settings, topic: str, group: str, start: int = 0) -> Iterator[LogReader]:
    """A consumer that is in the group; what it reads it commits when the test says so."""
    with LogReader(settings) as reader:
        reader.subscribe([topic], group, on_assigned=lambda places: dict.fromkeys(places, start))
        eventually(lambda: reader.poll(1, 0.2) is not None and reader.assignment(), "to be assigned")
        yield reader


def say(publisher: Publisher, topic: str, number: int) -> None:
    publisher.publish_all([(topic, b"k", POISON, ())] * number)


def commit(settings: Settings, topic: str, group: str, offset: int) -> None:
    """Somebody of the group commits, and leaves it."""
    with member(settings, topic, group, start=offset) as reader:
        reader.commit({(topic, 0): offset}, wait=True)
