"""A rebuild on a real log and database: filled beside the live generation, compared, swapped; paused, given up, refused."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kafka
import msgspec
import orjson
import pytest
from sqlalchemy import Engine, text

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.kafka.producer import Publisher
from infra.postgres.role import OWNER, Role
from infra.settings import Settings
from projections.catalogue import EVENT_INDEX, REPOSITORIES, SERIES_POINTS
from projections.folding import Folding
from projections.generations import live_generations
from projections.projection import Write
from projections.reading import Reader
from projections.rebuild import control
from projections.rebuild import keeping as keeper
from projections.rebuild.control import Rebuild, RebuildState
from projections.rebuild.errors import NoSuchGeneration, RebuildRefused
from projections.rebuild.execution import AUTOMATIC, run_rebuild
from projections.rebuild.groups import forget_dropped
from projections.repositories import queries
from projections.runner.faults import FAULT_VARIABLE, MARKER_VARIABLE
from schemas.codec import decode
from schemas.envelope import Event
from schemas.events import RepositoryPushed, RepositoryRegistered
from schemas.topics import Topic
from tests.support.keeping import eventually, keeping, rebuilt
from tests.support.projecting import completed, event, result

ROOT = Path(__file__).parents[3]


def _registered(number: int) -> RepositoryRegistered:
    return RepositoryRegistered(repository_id=number, name=f"local/r{number}", path=f"/r/{number}")


def live_number(projector: Engine, name: str) -> int:
    with projector.connect() as connection:
        return live_generations(connection)[name].number


def command(
    settings: Settings, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """``millstream projection ...`` as a child."""
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli.main", "projection", *arguments],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")},
            "MILLSTREAM_HOME": str(settings.home),
            "MILLSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "MILLSTREAM_DATABASE_URL": settings.database_url.get_secret_value(),
            **(environ or {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def operations(settings: Settings) -> list[Event]:
    """Everything on ``millstream.operations``."""
    with KafkaAdmin(settings) as admin:
        end = admin.watermarks(Topic.OPERATIONS)[0].end
    found: list[Event] = []
    with LogReader(settings) as reader:
        reader.assign({(Topic.OPERATIONS.value, 0): 0})
        while len(found) < end:
            found += [one for record in reader.poll(1_000, 1.0) if isinstance(one := decode(record), Event)]
    return found


def test_a_rebuild_of_the_same_fold_is_equal_and_swapped_and_told(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    with keeping(settings, REPOSITORIES):
        positions = publisher.publish([event(_registered(number)) for number in range(1, 400)])
        assert reader.wait_for("repositories", positions, 30.0)
        before = live_number(projector, "repositories")
        done = rebuilt(settings, control.order(projector, "repositories", ordered_by="tester"))
        assert (done.state, done.reason, done.differences) == (RebuildState.SWAPPED, "", [])
        assert live_number(projector, "repositories") == done.generation > before
        assert done.from_generation == before
        assert done.events == done.of_all == 399
        assert done.hold_ms is not None
        assert done.hold_ms < 1_000
        assert reader.wait_for("repositories", publisher.publish([event(_registered(1000))]), 30.0)
        # Both are kept: the same event is in the old one too.
        with projector.connect() as connection:
            old, new = (
                next(
                    one for one in control.generations_of(connection, "repositories") if one.number == number
                )
                for number in (before, done.generation)
            )
        assert (new.live, old.live, old.kept) == (True, False, True)
        assert eventually(lambda: control.diff(projector, "repositories", before, done.generation).equal)
    told = [one.data for one in operations(settings)]
    assert [type(one).__name__ for one in told] == ["GenerationSwapped"], "the order is told by who orders"


def test_a_kept_generation_is_dropped_under_load_and_the_live_one_goes_on(
    settings: Settings,
    projector: Engine,
    publisher: Publisher,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The runner is to meet the dropped tables before the keeper looks again.
    monkeypatch.setattr(keeper, "_INTERVAL_S", 3.0)
    with keeping(settings, REPOSITORIES) as kept:
        done = rebuilt(settings, control.order(projector, "repositories", ordered_by="tester"))
        assert (done.state, done.reason) == (RebuildState.SWAPPED, "")
        old, live = (("repositories", number) for number in (done.from_generation, done.generation))
        assert eventually(lambda: {old, live} <= set(kept.keepers[0].kept))
        assert done.from_generation is not None
        assert eventually(
            lambda: control.diff(projector, "repositories", done.from_generation or 0, done.generation).equal
        )
        control.drop_generation(projector, "repositories", done.from_generation)
        publisher.publish([event(_registered(number)) for number in range(3_000, 3_030)])
        assert eventually(lambda: old not in kept.keepers[0].kept)
        with KafkaAdmin(settings) as admin:
            group = f"millstream.projection.repositories.g{done.from_generation}"
            assert group in admin.groups()
            assert forget_dropped(projector, admin, "repositories") == []
            assert group not in admin.groups()
            assert f"millstream.projection.repositories.g{done.generation}" in admin.groups()
        assert not kept.failures
        assert reader.wait_for("repositories", publisher.publish([event(_registered(3_030))]), 30.0)
        assert live in kept.keepers[0].kept
    assert not kept.failures


def test_points_with_workers_of_their_own(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    with keeping(settings, SERIES_POINTS):
        positions = publisher.publish(
            [
                event(completed(result({600: n, 601: n + 1}), repository_id=n, request_id=f"p-{n}"))
                for n in range(1, 300)
            ]
        )
        assert reader.wait_for("series_points", positions, 30.0)
        done = rebuilt(settings, control.order(projector, "series_points", workers=2, ordered_by="tester"))
        assert (done.state, done.reason) == (RebuildState.SWAPPED, "")
        with projector.connect() as connection:
            rows = connection.scalar(text(f"select count(*) from {done.schema_name}.series_points"))
        assert rows == 2 * 299


def test_killed_in_the_middle_it_is_gone_on_from_its_checkpoints(
    settings: Settings, projector: Engine, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    child = command(
        settings,
        "rebuild",
        "series_points",
        environ={
            FAULT_VARIABLE: "series_points:after_commit_before_kafka_commit:2",
            MARKER_VARIABLE: str(marker),
            "MILLSTREAM_PROJECTOR_BATCH_EVENTS": "50",
        },
    )
    _, words = child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL, words
    assert marker.exists()
    with projector.connect() as connection:
        left = control.rebuilds(connection, "series_points")[0]
        folded = connection.scalar(
            text(f"select coalesce(sum(next_offset), 0) from {left.schema_name}.checkpoints")
        )
    assert left.state is RebuildState.FILLING
    assert 0 < folded < 299
    with keeping(settings, SERIES_POINTS):
        assert eventually(lambda: _state(projector, left.id) is RebuildState.SWAPPED, 60.0)
    assert control.diff(projector, "series_points", left.generation - 1, left.generation).equal


def test_paused_resumed_and_given_up(settings: Settings, projector: Engine) -> None:
    ordered = control.order(projector, "repositories", ordered_by="tester")
    with pytest.raises(RebuildRefused, match="is open already"):
        control.order(projector, "repositories", ordered_by="tester")
    seen: list[RebuildState] = []

    def pause(one: Rebuild) -> None:
        seen.append(one.state)
        if one.events and len(set(seen)) == 1:
            control.pause(projector, one.id)

    paused = run_rebuild(settings, ordered.id, threading.Event(), pause)
    assert paused.state is RebuildState.PAUSED
    with pytest.raises(RebuildRefused, match="PAUSED"):
        run_rebuild(settings, ordered.id, threading.Event())
    with pytest.raises(RebuildRefused, match="is not past yet"):
        control.order(
            projector,
            "insights",
            until=datetime.now(UTC) + timedelta(hours=1),
            ordered_by="tester",
        )
    assert control.resume(projector, ordered.id).state is RebuildState.ORDERED

    def cancel(one: Rebuild) -> None:
        if one.state is RebuildState.FILLING and one.events:
            control.cancel(projector, one.id)

    assert run_rebuild(settings, ordered.id, threading.Event(), cancel).state is RebuildState.CANCELLED
    with pytest.raises(NoSuchGeneration):
        control.drop_generation(projector, "repositories", ordered.generation)
    with pytest.raises(RebuildRefused, match="it has ended"):
        control.cancel(projector, ordered.id)


def test_what_is_not_swapped_waits_until_somebody_accepts(settings: Settings, projector: Engine) -> None:
    live = live_number(projector, "repositories")
    ready = rebuilt(settings, control.order(projector, "repositories", swap=False, ordered_by="tester"))
    assert (ready.state, ready.reason) == (RebuildState.READY, "filled and compared: equal")
    assert live_number(projector, "repositories") == live
    with pytest.raises(RebuildRefused, match="is the live one"):
        control.drop_generation(projector, "repositories", live)
    other = control.order(projector, "repositories", ordered_by="tester")
    with pytest.raises(RebuildRefused, match="another rebuild of repositories is open already"):
        control.accept(projector, ready.id)
    control.cancel(projector, other.id)
    done = rebuilt(settings, control.accept(projector, ready.id))
    assert done.state is RebuildState.SWAPPED
    assert live_number(projector, "repositories") == ready.generation
    assert control.drop_generation(projector, "repositories", live).number == live


def test_a_row_that_the_log_does_not_account_for_stops_the_swap(
    settings: Settings, projector: Engine
) -> None:
    live = live_number(projector, "repositories")
    with projector.begin() as connection:
        connection.execute(
            text(f"update repositories_g{live}.repo_names set path = '/elsewhere' where id = 7")
        )
    failed = rebuilt(settings, control.order(projector, "repositories", ordered_by="tester"))
    assert failed.state is RebuildState.FAILED
    assert failed.different == 1
    assert failed.differences == [f"repo_names[id=7] path: g{live} '/elsewhere', g{failed.generation} '/r/7'"]
    assert live_number(projector, "repositories") == live
    done = rebuilt(settings, control.accept(projector, failed.id))
    assert done.state is RebuildState.SWAPPED


def test_a_swap_is_refused_where_others_could_see_more(settings: Settings, projector: Engine) -> None:
    live = live_number(projector, "repositories")
    with projector.begin() as connection:
        connection.execute(text(f"set local role {OWNER}"))
        connection.execute(
            text(f"revoke select on repositories_g{live}.repo_names from {Role.WORKER.database_name}")
        )
    failed = rebuilt(settings, control.order(projector, "repositories", accept=True, ordered_by="tester"))
    assert failed.state is RebuildState.FAILED
    assert "row security, policies or grants differ" in failed.reason
    assert live_number(projector, "repositories") == live
    with projector.begin() as connection:
        connection.execute(text(f"set local role {OWNER}"))
        connection.execute(
            text(f"grant select on repositories_g{live}.repo_names to {Role.WORKER.database_name}")
        )
    assert rebuilt(settings, control.resume(projector, failed.id)).state is RebuildState.SWAPPED


def test_a_changed_fold_is_rebuilt_by_itself_and_the_way_back_stays_open(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    def without_pushes(events: Sequence[Folding]) -> Write:
        return REPOSITORIES.prepare(
            [one for one in events if not isinstance(one.event.data, RepositoryPushed)]
        )

    newer = msgspec.structs.replace(REPOSITORIES, version=REPOSITORIES.version + 1, prepare=without_pushes)
    by_itself = settings.model_copy(update={"projector_rebuilds_changed": True})
    pushed = [
        event(
            RepositoryPushed(
                repository_id=number,
                default_branch="main",
                tip=f"{number:040x}",
                refs_fingerprint=f"f{number}",
                refs=[],
            )
        )
        for number in range(1, 50)
    ]
    old = live_number(projector, "repositories")
    with keeping(settings, REPOSITORIES, name="old"):
        assert reader.wait_for("repositories", publisher.publish(pushed), 30.0)
        with keeping(by_itself, newer, name="new"):
            assert eventually(lambda: live_number(projector, "repositories") != old, 60.0)
            with projector.connect() as connection:
                done = control.rebuilds(connection, "repositories")[0]
            assert (done.state, done.ordered_by, done.different) == (RebuildState.SWAPPED, AUTOMATIC, 49)
            assert any("tip: g" in one for one in done.differences)
            assert _tip(reader, 7) is None, "the new fold"
            position = publisher.publish([event(_registered(2_000))])
            assert reader.wait_for("repositories", position, 30.0)
            # Both folds run: the way back and forth is one statement.
            back = control.rollback(projector, "repositories", ordered_by="tester")
            assert (back.from_generation, back.to_generation) == (done.generation, old)
            assert _tip(reader, 7) == f"{7:040x}"
            assert reader.wait_for("repositories", position, 0.0), "time does not go backwards"
            assert reader.wait_for("repositories", publisher.publish([event(_registered(2_001))]), 30.0)
            forth = control.rollback(projector, "repositories", ordered_by="tester")
            assert forth.to_generation == done.generation
            assert _tip(reader, 7) is None
    with keeping(settings, newer, name="new"):
        assert reader.wait_for("repositories", publisher.publish([event(_registered(2_002))]), 30.0)
    with pytest.raises(RebuildRefused, match="which no running projector carries"):
        control.rollback(projector, "repositories", ordered_by="tester")


def test_what_may_expire_may_be_missing_and_what_may_not_is_refused(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    """The last test here: it cuts the log."""
    with keeping(settings, EVENT_INDEX):
        assert reader.wait_until("event_index", _ends(settings), 60.0)
        publisher.publish_raw(Topic.WORK_BACKGROUND, b"1", b"{}")
        publisher.publish_raw(Topic.WORK_BACKGROUND, b"1", b"{}")
        assert reader.wait_until("event_index", _ends(settings), 60.0)
        _cut(settings, Topic.WORK_BACKGROUND)
        done = rebuilt(settings, control.order(projector, "event_index", ordered_by="tester"))
        assert (done.state, done.reason, done.differences) == (RebuildState.SWAPPED, "", [])
    _cut(settings, Topic.RESULTS)
    refused = rebuilt(settings, control.order(projector, "series_points", ordered_by="tester"))
    assert refused.state is RebuildState.FAILED
    assert refused.reason.startswith("LOG_TRUNCATED: millstream.results/")


def test_the_command_says_what_it_would_do_and_shows_what_there_is(settings: Settings) -> None:
    said = _json(settings, "rebuild", "repositories", "--dry-run", "--json")
    assert said["events"] > 399
    assert said["sampled"] == said["events"]
    listed = _json(settings, "generations", "repositories", "--json")
    assert [one["live"] for one in listed["generations"]].count(True) == 1
    past = _json(settings, "rebuild", "repositories", "--until", "2020-01-01", "--json")
    assert (past["state"], past["events"]) == ("READY", 0)


def _json(settings: Settings, *arguments: str) -> dict[str, Any]:
    child = command(settings, *arguments)
    said, words = child.communicate(timeout=120)
    assert child.returncode == 0, words
    found = orjson.loads(said)
    assert isinstance(found, dict)
    return found


def _state(projector: Engine, rebuild_id: int) -> RebuildState:
    with projector.connect() as connection:
        return next(one.state for one in control.rebuilds(connection) if one.id == rebuild_id)


def _tip(reader: Reader, repository: int) -> str | None:
    with reader.snapshot(("repositories",)) as snapshot:
        return queries.by_ids(snapshot.connection, [repository])[repository].tip


def _ends(settings: Settings) -> dict[tuple[str, int], int]:
    with KafkaAdmin(settings) as admin:
        return {
            (topic.value, number): marks.end
            for topic in EVENT_INDEX.topics
            for number, marks in admin.watermarks(topic).items()
        }


def _cut(settings: Settings, topic: Topic) -> None:
    """Half of every partition is gone from the log, as if it had expired."""
    with KafkaAdmin(settings) as admin:
        middles = {
            kafka.TopicPartition(topic.value, number): marks.end // 2
            for number, marks in admin.watermarks(topic).items()
            if marks.end > 1
        }
        assert middles
        admin._client.delete_records(middles)
