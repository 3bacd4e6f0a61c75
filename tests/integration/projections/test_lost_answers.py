"""The answer to a commit is lost: what is in memory is what the tables say all the same."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.catalogue import OPERATIONS, REPOSITORIES
from projections.runner import faults, redrive
from projections.runner.faults import Point
from projections.runner.held import Held
from projections.runner.orders import Order
from schemas.envelope import Position
from schemas.events import AggregatePlace, DropOrdered, RecordPlace, RedriveOrdered, RepositoryRenamed
from schemas.topics import Topic
from tests.integration.projections.test_redrive import (
    assert_what_the_log_says,
    history,
    put_aside,
    query,
    queue,
    reading,
)
from tests.stack import StackUnderTest, fresh_database
from tests.support.projecting import event, settings_for
from tests.support.projectors import eventually
from tests.support.running import running

_bases = itertools.count(200_100, 100)


@pytest.fixture
def settings(own_stack: StackUnderTest, tmp_path: Path) -> Iterator[Settings]:
    with fresh_database(own_stack.database_url, "lost_answers") as url:
        found = settings_for(url, tmp_path, own_stack.kafka_bootstrap)
        set_up(found)
        yield found


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


def lose_the_answer(
    monkeypatch: pytest.MonkeyPatch, nth: int
) -> list[psycopg.Connection[tuple[object, ...]]]:
    """End the session of the repositories' ``nth`` step between its commit and the answer; the steps' connections."""
    steps: list[psycopg.Connection[tuple[object, ...]]] = []
    step, reached = redrive.Redriver.step, faults.reached

    def remembered(
        self: redrive.Redriver,
        connection: psycopg.Connection[tuple[object, ...]],
        order: Order,
        epoch: int,
        held: Held,
    ) -> None:
        if order.partition[0] == Topic.REPOSITORIES.value:
            steps.append(connection)
        step(self, connection, order, epoch, held)

    def lost(projection: str, point: Point) -> None:
        reached(projection, point)
        if (projection, point, len(steps)) == ("repositories", Point.REDRIVEN, nth):
            steps[-1].close()
            raise psycopg.OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(redrive.Redriver, "step", remembered)
    monkeypatch.setattr(faults, "reached", lost)
    return steps


def test_an_unread_record_is_dropped_though_the_answer_to_the_commit_was_lost(
    settings: Settings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = next(_bases)
    last = history(publisher, base)[-1]
    place = RecordPlace(topic=last.topic, partition=last.partition, offset=last.offset + 1)
    order = DropOrdered(projection="repositories", records=[place], reason="not yet", ordered_by="test")
    steps = lose_the_answer(monkeypatch, 1)
    with running(settings, REPOSITORIES, OPERATIONS) as runners, reading(settings) as reader:
        assert reader.wait_for("repositories", [last], 60.0)
        publisher.publish([event(order)])
        assert eventually(lambda: len(steps) > 1, 60.0), "the order was gone on with"
        assert query(settings, "select outcome from repositories_g1.carried_out") == [("DROPPED",)]
        (unread,) = publisher.publish([event(RepositoryRenamed(repository_id=base + 3, name="local/never"))])
        assert unread == Position(place.topic, place.partition, place.offset)
        assert reader.wait_for("repositories", [unread], 60.0)
    assert not runners.failures
    assert query(settings, "select id from repositories_g1.repo_names where name = 'local/never'") == []
    assert_what_the_log_says(settings)


def test_nothing_waits_behind_what_was_folded_though_the_answer_to_the_commit_was_lost(
    settings: Settings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = next(_bases) + 3
    positions = history(publisher, third - 3)
    put_aside(settings, publisher, f"local/b-{third}", positions=positions)
    place = AggregatePlace(topic=positions[-1].topic, partition=positions[-1].partition, aggregate=str(third))
    order = RedriveOrdered(projection="repositories", aggregates=[place], ordered_by="test")
    steps = lose_the_answer(monkeypatch, 2)  # the first begins the order, the second folds
    with running(settings, REPOSITORIES, OPERATIONS) as runners, reading(settings) as reader:
        publisher.publish([event(order)])
        assert eventually(lambda: len(steps) > 2, 60.0), "the order was gone on with"
        later = publisher.publish([event(RepositoryRenamed(repository_id=third, name="local/later"))])
        assert reader.wait_for("repositories", later, 60.0)
    assert not runners.failures
    assert queue(settings) == []
    assert_what_the_log_says(settings)
