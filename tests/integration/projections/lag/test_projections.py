"""Each state of a projection, made to happen on a real broker: running, stopped, rebuilt, and in front of a log that is not its own."""

import threading

from sqlalchemy import Engine, text, update

from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.kafka.producer import Publisher
from infra.postgres.runtime import generations
from infra.settings import Settings
from projections.catalogue import INSIGHTS, OBLIGATIONS, REPOSITORIES, SETTINGS
from projections.lag.model import GroupReport, Kind
from projections.lag.states import State
from projections.lag.store import lag_report
from projections.rebuild.control import Rebuild, RebuildState, cancel, order
from projections.rebuild.execution import run_rebuild
from schemas.codec import encode
from schemas.events import RepositoryRegistered, SettingsChanged
from schemas.topics import Topic
from tests.integration.projections.lag.watching import (
    Watching,
)
from tests.support.projecting import event
from tests.support.running import running
from tests.support.system import eventually


def test_a_projection_that_is_absent_runs_is_rebuilt_and_stops(
    settings: Settings, database: Engine, publisher: Publisher, watching: Watching
) -> None:
    assert watching.group("repositories").state is State.EMPTY
    said = [event(RepositoryRegistered(repository_id=n, name=f"local/lag{n}", path="/p")) for n in range(50)]
    publisher.publish(said)
    with running(settings, REPOSITORIES):
        found = watching.until("repositories", State.OK)
        assert found.kind is Kind.PROJECTION
        eventually(lambda: watching.group("repositories").records == 0, "all to be applied")
    publisher.publish(said[:5])
    found = watching.until("repositories", State.STOP)
    assert found.records == 5
    with database.begin() as connection:
        connection.execute(
            update(generations).where(generations.c.projection == "repositories").values(version=1_000)
        )
    found = watching.group("repositories")
    assert found.state is State.STOP, "another build's generation that nobody folds, and no rebuild is open"
    assert "built by another version; nobody folds it" in found.reason
    assert "millstream projection rebuild repositories" in found.reason
    ordered = order(database, "repositories", ordered_by="test")
    found = watching.group("repositories")
    assert found.state is State.REPLAYING, "it is served while one of ours is made"
    assert f"while generation {ordered.generation} is rebuilt" in found.reason
    cancel(database, ordered.id)
    assert watching.group("repositories").state is State.STOP
    with database.begin() as connection:
        connection.execute(
            update(generations)
            .where(generations.c.projection == "repositories")
            .values(version=REPOSITORIES.version)
        )


def test_a_rebuild_declares_itself_and_silences_its_own_alarm(
    settings: Settings, database: Engine, publisher: Publisher, watching: Watching
) -> None:
    registered = [
        RepositoryRegistered(repository_id=n, name=f"local/o{n}", path="/p") for n in range(900, 930)
    ]
    with running(settings, OBLIGATIONS):
        publisher.publish([event(one) for one in registered])
        watching.until("obligations", State.OK)
        seen: list[GroupReport] = []

        def look(rebuild: Rebuild) -> None:
            watching.group("obligations")
            with database.connect() as connection:
                seen.extend(one for one in lag_report(connection) if one.name == "obligations")

        ordered = order(database, "obligations", ordered_by="test", swap=False)
        done = run_rebuild(settings, ordered.id, threading.Event(), look)
    assert done.state is RebuildState.READY, done.reason
    filling = [one for one in seen if one.generation == ordered.generation]
    assert filling
    assert {one.state for one in filling} == {State.REPLAYING}
    assert "is being rebuilt" in filling[0].reason
    assert {one.state for one in seen if one.generation == 1} == {State.OK}, "the live one is judged as ever"


def test_needs_upgrade(settings: Settings, publisher: Publisher, watching: Watching) -> None:
    key, value, headers = encode(
        event(SettingsChanged(key="repositories.pollIntervalSeconds", value=30.0, changed_by="test"))
    )
    newer = tuple(
        (name, data.rpartition(b"/v")[0] + b"/v99" if name == "ce_dataschema" else data)
        for name, data in headers
    )
    with running(settings, SETTINGS):
        watching.until("settings", State.OK)
        publisher.publish_all([(Topic.SETTINGS, key, value, newer)])
        found = watching.until("settings", State.NEEDS_UPGRADE)
    assert found.worst == f"{Topic.SETTINGS}/0"
    assert "99" in found.reason


def test_a_projection_that_gave_up(settings: Settings, database: Engine, watching: Watching) -> None:
    """How it comes to say so is tested where it does (``test_limits_and_outages``)."""
    with database.begin() as connection:
        connection.execute(
            text("update obligations_g1.checkpoints set state = 'FAILED', state_reason = 'KeyError in fold'")
        )
    found = watching.group("obligations")
    assert found.state is State.STOP
    assert "KeyError in fold" in found.reason
    with database.begin() as connection:
        connection.execute(text("update obligations_g1.checkpoints set state = 'RUNNING'"))


def test_a_topic_of_truth_that_was_cut_and_one_that_was_made_anew(
    settings: Settings, publisher: Publisher, admin: KafkaAdmin, watching: Watching
) -> None:
    """The last test of this module: it leaves a broken log behind."""
    said = publisher.publish(
        [event(RepositoryRegistered(repository_id=7, name=f"local/cut{n}", path="/p")) for n in range(5)]
    )
    admin.delete_records({(said[-1].topic, said[-1].partition): said[-1].offset})
    found = watching.group("repositories")
    assert found.state is State.LOG_TRUNCATED, "seen before the projection runs again"
    with running(settings, REPOSITORIES):
        found = watching.until("repositories", State.LOG_TRUNCATED)
        eventually(lambda: "Restore the topic" in watching.group("repositories").reason, "its own word")

    with running(settings, INSIGHTS):
        watching.until("insights", State.OK)
    described = admin.describe([Topic.INSIGHTS])[Topic.INSIGHTS]
    admin.delete_topics([Topic.INSIGHTS])
    eventually(lambda: Topic.INSIGHTS.value not in admin.topics(), "the topic to be gone")
    kept = {"retention.ms": described.settings["retention.ms"], "message.timestamp.type": "LogAppendTime"}
    admin.create_topics([NewTopic(Topic.INSIGHTS.value, described.partitions, 1, kept)])
    with running(settings, INSIGHTS):
        found = watching.until("insights", State.LOG_MISMATCH)
    assert "another topic" in found.reason
