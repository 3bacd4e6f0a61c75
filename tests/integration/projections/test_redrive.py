"""Operators' orders: what was put aside is folded again in its order, or left out for ever, and the rows are what the log says."""

import asyncio
import itertools
import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import OPERATIONS, REPOSITORIES, SETTINGS
from projections.folding import Folding
from projections.projection import Projection, Write
from projections.reading import Reader
from projections.runner import redrive
from projections.runner.errors import FoldFailed
from projections.runner.faults import BUG_VARIABLE, FAULT_VARIABLE, MARKER_VARIABLE, Bug, Point
from projections.verification.verify import Comparison, verify
from schemas.envelope import Position
from schemas.events import (
    AggregatePlace,
    RedriveOrdered,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRenamed,
    SettingsChanged,
)
from schemas.topics import Topic
from streams.repositories.places import Place, ProjectedPlaces
from tests.stack import StackUnderTest, fresh_database
from tests.support.environ import program_environ
from tests.support.projecting import event, settings_for
from tests.support.projectors import ProjectorProcess, eventually, projector_running
from tests.support.running import running
from tests.support.spawning import millstream_text

Rows = list[tuple[object, ...]]
_bases = itertools.count(100_100, 100)
TURNS = "abcd"


@pytest.fixture
def settings(lent_stack: StackUnderTest, tmp_path: Path) -> Iterator[Settings]:
    with fresh_database(lent_stack.database_url, "redrive") as url:
        found = settings_for(url, tmp_path, lent_stack.kafka_bootstrap)
        set_up(found)
        yield found


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


def history(publisher: Publisher, base: int) -> list[Position]:
    """Three repositories, each registered and renamed four times, in turns."""
    ids = range(base + 1, base + 4)
    said = [event(RepositoryRegistered(repository_id=n, name=f"local/r{n}", path="/p")) for n in ids]
    said += [
        event(RepositoryRenamed(repository_id=n, name=f"local/{turn}-{n}")) for turn in TURNS for n in ids
    ]
    return publisher.publish(said)


def with_bug(*names: str) -> Projection:
    """The repositories with a fold that fails at these new names."""

    def prepare(events: Sequence[Folding]) -> Write:
        for one in events:
            if isinstance(one.event.data, RepositoryRenamed) and one.event.data.name in names:
                raise KeyError(f"a bug at {one.event.data.name}")
        return REPOSITORIES.prepare(events)

    found: Projection = msgspec.structs.replace(REPOSITORIES, prepare=prepare)
    return found


def query(settings: Settings, statement: str) -> Rows:
    with connect(settings, Role.PROJECTOR) as connection:
        return connection.execute(statement.encode()).fetchall()


def queue(settings: Settings) -> list[tuple[str, int, int | None]]:
    rows = query(settings, 'select aggregate, "offset", behind from repositories_g1.quarantine order by 1, 2')
    return msgspec.convert(rows, list[tuple[str, int, int | None]])


@contextmanager
def reading(settings: Settings) -> Iterator[Reader]:
    app = engine(settings, Role.APP)
    reader = Reader(app)
    try:
        yield reader
    finally:
        reader.close()
        app.dispose()


def put_aside(settings: Settings, publisher: Publisher, *names: str, positions: Sequence[Position]) -> None:
    """Fold up to the end of ``positions`` with a bug at these names."""
    with reading(settings) as reader, running(settings, with_bug(*names)) as runners:
        assert reader.wait_for("repositories", positions, 60.0)
    assert not runners.failures


def cli(settings: Settings, *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of ``millstream dead-letters``."""
    done = millstream_text("dead-letters", *arguments, "--json", environ=program_environ(settings))
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def outcomes(answer: object) -> dict[str, tuple[str, int, int]]:
    assert isinstance(answer, dict)
    found: list[dict[str, Any]] = answer["outcomes"]
    return {
        str(one["aggregate"] or one["position"]): (one["outcome"], one["folded"], one["waiting"])
        for one in found
    }


def assert_what_the_log_says(settings: Settings) -> None:
    (found,) = verify(settings, ["repositories"], timeout_s=120.0)
    assert found.equal, found


@pytest.mark.parametrize("turn", TURNS)
def test_a_redrive_after_the_fix_gives_what_a_clean_replay_gives(
    settings: Settings, publisher: Publisher, turn: str
) -> None:
    base = next(_bases)
    positions = history(publisher, base)
    third = base + 3
    put_aside(settings, publisher, f"local/{turn}-{third}", positions=positions)
    waiting = len(TURNS) - TURNS.index(turn)
    assert len(queue(settings)) == waiting
    with running(settings, REPOSITORIES, OPERATIONS) as runners:
        assert eventually(
            lambda: bool(query(settings, "select 1 from runtime.generations where projection = 'operations'"))
        )
        code, answer = cli(settings, "redrive", "--projection", "repositories", "--all", "--dry-run")
        assert (code, outcomes(answer)) == (0, {str(third): ("FOLDED", waiting, 0)})
        assert len(queue(settings)) == waiting, "a dry run changes nothing"
        code, answer = cli(settings, "redrive", "--projection", "repositories", "--all", "--yes")
        assert (code, outcomes(answer)) == (0, {str(third): ("FOLDED", waiting, 0)})
        assert queue(settings) == []
        later = publisher.publish([event(RepositoryRenamed(repository_id=third, name="local/later"))])
        reader_engine = engine(settings, Role.APP)
        reader = Reader(reader_engine)
        assert reader.wait_for("repositories", later, 60.0)
        reader.close()
        reader_engine.dispose()
    assert not runners.failures
    assert query(settings, f"select name from repositories_g1.repo_names where id = {third}") == [
        ("local/later",)
    ]
    assert_what_the_log_says(settings)


def test_who_remembers_what_it_read_sees_what_a_redrive_changed(
    settings: Settings, publisher: Publisher
) -> None:
    """Also where no other event comes: a redrive moves no offset."""
    number = next(_bases)
    registered = event(RepositoryRegistered(repository_id=number, name=f"local/r{number}", path="/p"))
    renamed = event(RepositoryRenamed(repository_id=number, name=f"local/bug-{number}"))
    pushed = event(RepositoryPushed(repository_id=number, default_branch="main", tip="a" * 40))
    positions = publisher.publish([registered, renamed, pushed])
    put_aside(settings, publisher, f"local/bug-{number}", positions=positions)
    worker = engine(settings, Role.WORKER)
    reader = Reader(worker)
    places = ProjectedPlaces(reader)

    def watched() -> Sequence[Place]:
        return asyncio.run(places.watched())

    with running(settings, REPOSITORIES, OPERATIONS) as runners:
        # The operators' topic, too, is at rest before the first look.
        assert eventually(
            lambda: bool(query(settings, "select 1 from runtime.generations where projection = 'operations'"))
        )
        before = watched()
        assert number not in {place.repository_id for place in before}
        assert watched() is before
        offsets = [(one.partition, one.next_offset) for one in reader.applied("repositories")]
        code, _ = cli(settings, "redrive", "--projection", "repositories", "--all", "--yes")
        assert code == 0
        assert [(one.partition, one.next_offset) for one in reader.applied("repositories")] == offsets
        assert number in {place.repository_id for place in watched()}
    assert not runners.failures
    reader.close()
    worker.dispose()


def test_what_still_fails_waits_behind_the_new_event_at_fault(
    settings: Settings, publisher: Publisher
) -> None:
    base = next(_bases)
    positions = history(publisher, base)
    third = base + 3
    put_aside(settings, publisher, f"local/a-{third}", positions=positions)
    with running(settings, with_bug(f"local/c-{third}"), OPERATIONS) as runners:
        code, answer = cli(settings, "redrive", "--aggregate", str(third), "--yes")
        assert (code, outcomes(answer)) == (1, {str(third): ("STILL_FAILS", 2, 2)})
        bad, behind = positions[11], positions[14]
        assert queue(settings) == [(str(third), bad.offset, None), (str(third), behind.offset, bad.offset)]
        code, shown = cli(settings, "show", str(bad))
        assert "a bug at local/c" in str(shown[0]["trace"])
        assert shown[0]["waitingPositions"] == [str(behind)]
        code, answer = cli(settings, "drop", str(bad), "--reason", "sent by mistake", "--yes")
        assert code == 0
        assert outcomes(answer) == {str(bad): ("DROPPED", 0, 0), str(third): ("FOLDED", 1, 0)}
    assert not runners.failures
    assert queue(settings) == []
    assert_what_the_log_says(settings)


def test_dead_letters_are_listed_shown_and_dropped_for_ever(settings: Settings, publisher: Publisher) -> None:
    positions = history(publisher, next(_bases))
    bad = publisher.publish_raw(Topic.REPOSITORIES.value, b"\xff1", b"no json \x00", (("ce_id", b"x"),))
    with running(settings, REPOSITORIES, OPERATIONS) as runners:
        assert eventually(
            lambda: query(settings, "select to_regclass('repositories_g1.dead_letters')") != [(None,)]
        )
        assert eventually(
            lambda: query(settings, "select count(*) from repositories_g1.dead_letters") == [(1,)]
        )
        code, answer = cli(settings, "list", "--kind", "dead-letter")
        assert [one["position"] for one in answer["entries"]] == [str(bad)]
        code, shown = cli(settings, "show", str(bad))
        assert shown[0]["value"] == {"base64": "bm8ganNvbiAA", "text": "no json \x00"}
        code, answer = cli(settings, "drop", str(bad), "--reason", "noise", "--yes")
        assert (code, outcomes(answer)) == (0, {str(bad): ("DROPPED", 0, 0)})
    assert not runners.failures
    assert query(settings, "select count(*) from repositories_g1.dead_letters") == [(0,)]
    assert query(settings, f'select reason from operations_g1.drops where "offset" = {bad.offset}') == [
        ("noise",)
    ]
    assert positions
    assert_what_the_log_says(settings)


def test_a_flood_of_records_that_are_no_events_stops_the_projection_until_they_are_dropped_unread(
    settings: Settings, publisher: Publisher
) -> None:
    settings = settings.model_copy(update={"projector_batch_events": 200})
    publisher.publish_all([(Topic.SETTINGS.value, b"k", b"poison %d" % n, ()) for n in range(3_000)])
    change = SettingsChanged(key="insights.query.worker.concurrency", value=3, changed_by="c")
    positions = publisher.publish([event(change)])
    with running(settings, SETTINGS, OPERATIONS) as runners:
        assert eventually(lambda: bool(runners.failures), 60.0)
        (failure,) = runners.failures
        assert isinstance(failure, FoldFailed)
        assert "flooded with records that are no events" in str(failure)
        began_s, began_at_s = time.process_time(), time.monotonic()
        assert not eventually(lambda: not runners.failures, 3.0), "it stays stopped"
        spent = (time.process_time() - began_s) / (time.monotonic() - began_at_s)
        assert spent < 0.2, f"{spent:.0%} of a core while it stands still"
    rows = query(settings, "select count(*) from settings_g1.dead_letters")
    kept = msgspec.convert(rows, list[tuple[int]])[0][0]
    assert kept < 1_500, "the store is not filled"
    ((state, reason),) = query(settings, "select state, state_reason from settings_g1.checkpoints")
    assert state == "FAILED"
    assert "dead-letters drop-flood" in str(reason)

    code, answer = cli(settings, "drop-flood", "settings", "--reason", "a broken publisher", "--yes")
    assert (code, answer["records"]) == (0, 3_000 - kept)
    app = engine(settings, Role.APP)
    reader = Reader(app)
    with running(settings, SETTINGS, OPERATIONS) as runners:
        assert reader.wait_for("settings", positions, 60.0)
    reader.close()
    app.dispose()
    assert not runners.failures
    assert query(settings, "select count(*) from settings_g1.dead_letters") == rows
    (found,) = verify(settings, ["settings"], timeout_s=120.0)
    assert found.equal, found


def test_a_redrive_is_not_overtaken_by_what_arrives_meanwhile(
    settings: Settings, publisher: Publisher
) -> None:
    assert _raced(settings, publisher).equal


def test_the_checker_sees_a_redrive_that_is_overtaken(
    settings: Settings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BUG_VARIABLE, Bug.REDRIVE_LETS_GO.value)
    assert not _raced(settings, publisher).equal


def _raced(settings: Settings, publisher: Publisher) -> Comparison:
    """A long queue is redriven in small steps while the same aggregate goes on being renamed."""
    base = next(_bases)
    first = publisher.publish(
        [event(RepositoryRegistered(repository_id=base, name="local/first", path="/p"))]
    )
    many = [event(RepositoryRenamed(repository_id=base, name=f"local/{base}-n{n}")) for n in range(600)]
    positions = publisher.publish(many)
    assert first
    put_aside(settings, publisher, f"local/{base}-n0", positions=positions)
    assert len(queue(settings)) == 600
    order = RedriveOrdered(
        projection="repositories",
        aggregates=[
            AggregatePlace(topic=positions[0].topic, partition=positions[0].partition, aggregate=str(base))
        ],
        ordered_by="test",
    )
    app = engine(settings, Role.APP)
    reader = Reader(app)
    with pytest.MonkeyPatch.context() as patched, running(settings, REPOSITORIES, OPERATIONS) as runners:
        patched.setattr(redrive, "STEP_EVENTS", 10)
        publisher.publish([event(order)])
        assert eventually(lambda: len(queue(settings)) < 600, 60.0)
        live = publisher.publish(
            [event(RepositoryRenamed(repository_id=base, name=f"local/{base}-live{n}")) for n in range(3)]
        )
        assert queue(settings), "it was still being redriven"
        assert reader.wait_for("repositories", live, 60.0)
        assert eventually(lambda: not queue(settings), 60.0)
    reader.close()
    app.dispose()
    assert not runners.failures
    (found,) = verify(settings, ["repositories"], timeout_s=120.0)
    return found


@pytest.mark.parametrize("point", [Point.REDRIVEN_BEFORE_COMMIT, Point.REDRIVEN])
def test_a_projector_killed_in_the_middle_of_a_redrive_goes_on_with_it(
    settings: Settings, publisher: Publisher, tmp_path: Path, point: Point
) -> None:
    base = next(_bases)
    publisher.publish([event(RepositoryRegistered(repository_id=base, name="local/first", path="/p"))])
    positions = publisher.publish(
        [event(RepositoryRenamed(repository_id=base, name=f"local/{base}-n{n}")) for n in range(1_700)]
    )
    put_aside(settings, publisher, f"local/{base}-n0", positions=positions)
    place = AggregatePlace(topic=positions[0].topic, partition=positions[0].partition, aggregate=str(base))
    marker = tmp_path / "marker"
    environ = {
        FAULT_VARIABLE: f"repositories:{point.value}:3",  # the first begins the order, the second folds
        MARKER_VARIABLE: str(marker),
    }
    order = RedriveOrdered(projection="repositories", aggregates=[place], ordered_by="test")
    publisher.publish([event(order)])
    with running(settings, OPERATIONS) as runners:
        with ProjectorProcess(settings, ("repositories",), environ) as killed:
            assert killed.wait(90.0) == -signal.SIGKILL
        assert marker.exists(), "the fault fired"
        left = len(queue(settings))
        assert 0 < left < 1_700, "it was killed in the middle"
        with projector_running(settings, ("repositories",)):
            assert eventually(lambda: not queue(settings), 90.0)
    assert not runners.failures
    assert query(settings, f"select name from repositories_g1.repo_names where id = {base}") == [
        (f"local/{base}-n1699",)
    ]
    rows = query(settings, "select outcome, folded, waiting from repositories_g1.carried_out")
    assert rows == [("FOLDED", 1_700, 0)]
    assert_what_the_log_says(settings)
