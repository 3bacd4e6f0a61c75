"""What a rebuild waits for, and when it is given up: a live generation that is behind, another log, differences that nobody has seen."""

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine, text

from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.catalogue import REPOSITORIES
from projections.generations import LiveGeneration, live_generations
from projections.projection import Derive
from projections.reading import Reader
from projections.rebuild import closing, control
from projections.rebuild.control import Rebuild, RebuildState
from projections.rebuild.errors import LockLost
from projections.rebuild.execution import run_rebuild
from projections.rebuild.holding import Swapped, Target, lead, vector_of
from projections.rebuild.vectors import Vector
from schemas.envelope import Position
from schemas.events import RepositoryRegistered
from schemas.topics import Topic
from tests.support.keeping import eventually, rebuilt
from tests.support.projecting import event
from tests.support.running import running


def said(publisher: Publisher, first: int, number: int) -> list[Position]:
    """Repositories are registered."""
    return publisher.publish(
        [
            event(RepositoryRegistered(repository_id=n, name=f"local/r{n}", path=f"/r/{n}"))
            for n in range(first, first + number)
        ]
    )


def row(projector: Engine, rebuild_id: int) -> Rebuild:
    with projector.connect() as connection:
        return next(one for one in control.rebuilds(connection) if one.id == rebuild_id)


class Lost:
    """A swap that is lost once its tail is open: more arrives, the new generation reads it, and then its worker is gone."""

    def __init__(self, projector: Engine, arrive: Callable[[], list[Position]]) -> None:
        self._projector = projector
        self._arrive = arrive
        self.times = 0

    def __call__(
        self,
        engine: Engine,
        live: LiveGeneration,
        to: Target,
        reached: Callable[[Vector], bool],
        record: Callable[[Connection], None],
        *derive: Derive | None,
    ) -> Swapped | None:
        if self.times:
            return lead(engine, live, to, reached, record, *derive)
        self.times += 1
        wanted = {(one.topic, one.partition): one.offset + 1 for one in self._arrive()}

        def ahead() -> bool:
            with self._projector.connect() as connection:
                at = vector_of(connection, to.schema_name)
            return all(at[place] >= offset for place, offset in wanted.items())

        assert eventually(ahead), "the open tail reads on"
        raise LockLost("the worker is gone")


@pytest.fixture
def running_rebuild(settings: Settings) -> Any:
    """Begins a rebuild in a thread of its own; ended with the test."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def begin(rebuild_id: int) -> None:
        thread = threading.Thread(target=lambda: run_rebuild(settings, rebuild_id, stop))
        threads.append(thread)
        thread.start()

    yield begin
    stop.set()
    for thread in threads:
        thread.join(60)


def test_one_that_is_ahead_because_its_worker_was_lost_waits_for_the_live_generation(
    settings: Settings,
    projector: Engine,
    publisher: Publisher,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
    running_rebuild: Callable[[int], None],
) -> None:
    with running(settings, REPOSITORIES):
        assert reader.wait_for("repositories", said(publisher, 1, 40), 30.0)
    lost = Lost(projector, lambda: said(publisher, 100, 40))
    monkeypatch.setattr(closing, "lead", lost)
    ordered = control.order(projector, "repositories", ordered_by="tester")
    running_rebuild(ordered.id)
    assert eventually(
        lambda: (
            "waits until" in (found := row(projector, ordered.id)).reason
            or found.state is RebuildState.FAILED
        )
    )
    found = row(projector, ordered.id)
    assert (lost.times, found.state) == (1, RebuildState.VERIFYING), found.reason
    assert "40 records ahead of generation" in found.reason
    with running(settings, REPOSITORIES):
        assert eventually(lambda: row(projector, ordered.id).state is RebuildState.SWAPPED)
    found = row(projector, ordered.id)
    assert (found.reason, found.different) == ("", 0)


def test_it_is_given_up_only_when_the_live_generation_stands_still_and_can_be_resumed(
    settings: Settings, projector: Engine, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "_STILL_S", 1.0)
    monkeypatch.setattr(closing, "lead", Lost(projector, lambda: said(publisher, 200, 40)))
    failed = rebuilt(settings, control.order(projector, "repositories", ordered_by="tester"))
    assert failed.state is RebuildState.FAILED
    assert "that one does not move" in failed.reason
    assert "millstream projection resume repositories" in failed.reason
    with running(settings, REPOSITORIES):
        assert rebuilt(settings, control.resume(projector, failed.id)).state is RebuildState.SWAPPED


def change_rows(projector: Engine, ids: str) -> None:
    """As the log does not account for, in the live generation."""
    with projector.begin() as connection:
        live = live_generations(connection)["repositories"].schema_name
        connection.execute(text(f"update {live}.repo_names set path = '/elsewhere' where id in ({ids})"))


def ids_from(first: int, number: int) -> str:
    return ", ".join(str(one) for one in range(first, first + number))


def test_what_was_accepted_is_what_was_shown(settings: Settings, projector: Engine) -> None:
    change_rows(projector, "7")
    failed = rebuilt(settings, control.order(projector, "repositories", ordered_by="tester"))
    assert (failed.state, failed.different) == (RebuildState.FAILED, 1)
    change_rows(projector, "8, 9, 10")
    again = rebuilt(settings, control.accept(projector, failed.id))
    assert (again.state, again.different) == (RebuildState.READY, 4)
    assert "4 rows differ from generation" in again.reason
    assert "1 when it was accepted" in again.reason
    done = rebuilt(settings, control.accept(projector, again.id))
    assert (done.state, done.different) == (RebuildState.SWAPPED, 4)


def test_what_was_accepted_was_compared_with_the_generation_that_is_live(
    settings: Settings, projector: Engine
) -> None:
    change_rows(projector, "11")
    first = rebuilt(settings, control.order(projector, "repositories", ordered_by="tester"))
    other = rebuilt(settings, control.order(projector, "repositories", accept=True, ordered_by="tester"))
    assert (first.state, other.state) == (RebuildState.FAILED, RebuildState.SWAPPED)
    change_rows(projector, "12")
    again = rebuilt(settings, control.accept(projector, first.id))
    assert (again.state, again.different) == (RebuildState.READY, 1), (
        "as many rows, but others, of another one"
    )
    assert f"with generation {other.generation}" in again.reason
    assert f"with generation {first.from_generation} when it was accepted" in again.reason
    assert rebuilt(settings, control.accept(projector, again.id)).state is RebuildState.SWAPPED


def test_a_worker_that_is_killed_before_the_swap_leaves_the_agreement_as_it_was(
    settings: Settings,
    projector: Engine,
    publisher: Publisher,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running(settings, REPOSITORIES):
        assert reader.wait_for("repositories", said(publisher, 300, 100), 30.0)
    newer = msgspec.structs.replace(REPOSITORIES, version=REPOSITORIES.version + 1)

    def worked_on(rebuild: Rebuild) -> Rebuild:
        return run_rebuild(settings, rebuild.id, threading.Event(), one=newer)

    change_rows(projector, "13")
    ready = worked_on(control.order_of(projector, newer, ordered_by="tester"))
    assert (ready.state, ready.different) == (RebuildState.READY, 1)
    change_rows(projector, ids_from(300, 90))

    def killed(*_: object) -> Swapped | None:
        """Before it has led anybody over; the live generation goes on."""
        monkeypatch.setattr(closing, "lead", lead)
        change_rows(projector, ids_from(100, 40))
        raise LockLost("the worker is gone")

    monkeypatch.setattr(closing, "lead", killed)
    again = worked_on(control.accept(projector, ready.id))
    assert (again.state, again.different) == (RebuildState.READY, 131)
    assert "1 when it was accepted" in again.reason
    assert again.accepted is not None
    assert (again.accepted.different, again.accepted.from_generation) == (1, ready.from_generation)
    control.cancel(projector, again.id)


def test_beside_a_generation_of_another_log_none_is_filled(
    settings: Settings,
    projector: Engine,
    publisher: Publisher,
    running_rebuild: Callable[[int], None],
) -> None:
    """The last test here: the topic is made anew, as by somebody who deleted it."""
    with KafkaAdmin(settings) as admin:
        described = admin.describe([Topic.REPOSITORIES])[Topic.REPOSITORIES]
        admin.delete_topics([Topic.REPOSITORIES])
        assert eventually(lambda: Topic.REPOSITORIES.value not in admin.topics())
        kept = {
            "retention.ms": described.settings["retention.ms"],
            "message.timestamp.type": "LogAppendTime",
        }
        admin.create_topics([NewTopic(Topic.REPOSITORIES.value, described.partitions, 1, kept)])
    said(publisher, 1, 5)
    ordered = control.order(projector, "repositories", ordered_by="tester")
    running_rebuild(ordered.id)
    assert eventually(lambda: row(projector, ordered.id).state is RebuildState.FAILED), row(
        projector, ordered.id
    )
    found = row(projector, ordered.id)
    assert found.reason.startswith("LOG_MISMATCH: millstream.repositories/")
    assert "is another topic than the one that was folded" in found.reason
    assert "drop this projection's schema" in found.reason
