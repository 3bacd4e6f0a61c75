"""Guards on a real log: verdicts, who may read them, and the same ones however the log was cut into batches."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import errors
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections import judged
from projections.catalogue import EVENT_INDEX, OBLIGATIONS, RECORDINGS, REPOSITORIES, SERIES_POINTS
from projections.generations import Generation
from projections.judged import ACCEPTED, DUPLICATE, PENDING, REJECTED, Verdict, accepted_of, verdict
from projections.reading import Reader
from projections.repositories import queries
from schemas.codec import encode, new_event
from schemas.envelope import Event, Headers, Position
from schemas.events import (
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
)
from schemas.registry import Payload
from schemas.topics import Topic
from tests.stack import StackUnderTest, fresh_database
from tests.support.projecting import T0, completed, failed, result, settings_for
from tests.support.running import running

GUARD_TABLES = ("guards", "guard_events", "verdicts")
Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(lent_stack.database_url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
    set_up(found)
    return found


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[Engine]:
    database = engine(settings, Role.APP)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def worker(settings: Settings) -> Iterator[Engine]:
    database = engine(settings, Role.WORKER)
    yield database
    database.dispose()


def said(payload: Payload, event_id: str, *, expects: int | None = None) -> Event:
    return new_event(payload, source="//t", time=T0, event_id=event_id, expected_version=expects)


def registered(number: int, name: str = "local/r") -> RepositoryRegistered:
    return RepositoryRegistered(repository_id=number, name=f"{name}{number}", path="/p")


def rows_of(settings: Settings, generation: Generation) -> Rows:
    with connect(settings, Role.PROJECTOR) as connection:
        return {
            table: connection.execute(
                f'select * from "{generation.schema_name}".{table} order by 1, 2, 3, 4, 5'.encode()
            ).fetchall()
            for table in GUARD_TABLES
        }


def test_verdicts_and_what_the_fold_sees(
    settings: Settings, publisher: Publisher, app: Engine, worker: Engine
) -> None:
    rename = said(RepositoryRenamed(repository_id=1, name="local/renamed"), "e-2", expects=1)
    events = [
        said(RepositoryUpdated(repository_id=1, fork=True), "e-0"),
        said(registered(1), "e-1", expects=0),
        rename,
        rename,
        said(RepositoryRenamed(repository_id=1, name="local/lost"), "e-3", expects=1),
        said(RepositoryPushed(repository_id=1, default_branch="main", tip="a" * 40), "e-4", expects=99),
        said(RepositoryRemoved(repository_id=1), "e-5"),
        said(RepositoryRenamed(repository_id=1, name="local/gone"), "e-6"),
        said(registered(1, "local/back"), "e-7"),
    ]
    reader = Reader(app)
    with running(settings, REPOSITORIES, OBLIGATIONS) as runners:
        owner, other = runners.generations
        positions = publisher.publish(events)
        for name in ("repositories", "obligations"):
            assert reader.wait_for(name, positions, 40.0)
        bad = publisher.publish_raw(Topic.REPOSITORIES, b"1", b"{}", (("ce_specversion", b"1.0"),))
        assert reader.wait_for("repositories", [bad], 40.0)
    with reader.snapshot(("repositories",)) as snapshot:
        found = queries.by_ids(snapshot.connection, [1])[1]
        assert (found.name, found.tip, found.removed_at) == ("local/back1", "a" * 40, None)
    reader.close()
    with app.connect() as connection:
        verdicts = [verdict(connection, position) for position in positions]
        assert [(one.state, one.version, one.reason_code) for one in verdicts] == [
            (REJECTED, None, "unknown"),
            (ACCEPTED, 1, None),
            (ACCEPTED, 2, None),
            (DUPLICATE, None, None),
            (REJECTED, None, "wrong-version"),
            (ACCEPTED, None, None),
            (ACCEPTED, 3, None),
            (REJECTED, None, "removed"),
            (ACCEPTED, 4, None),
        ]
        assert verdicts[3].of == positions[2]
        assert "version 1" in verdicts[4].reason
        assert "version 2" in verdicts[4].reason
        ahead = Position(bad.topic, bad.partition, bad.offset + 1)
        assert verdict(connection, ahead) == Verdict(state=PENDING)
        assert verdict(connection, bad) == Verdict(state=REJECTED, reason=f"ce_id {judged.NO_EVENT}")
        assert accepted_of(connection, [*positions, ahead]) == {positions[at] for at in (1, 2, 5, 6, 8)}
        with pytest.raises(judged.NotOwned):
            accepted_of(connection, [Position(Topic.RESULTS.value, 0, 0)])
        assert verdict(connection, Position(Topic.RESULTS.value, 0, 0)) == Verdict(state=PENDING)
        with pytest.raises(ProgrammingError) as refused:
            connection.execute(text(f"select value from {owner.schema_name}.dead_letters"))
        assert isinstance(refused.value.orig, errors.InsufficientPrivilege)
    for hidden in ("reason from {}.quarantine", "state_reason from {}.checkpoints", "* from {}.checkpoints"):
        with app.connect() as connection, pytest.raises(ProgrammingError) as refused:
            connection.execute(text("select " + hidden.format(owner.schema_name)))
        assert isinstance(refused.value.orig, errors.InsufficientPrivilege)
    with worker.connect() as connection:
        assert "is missing" in verdict(connection, bad).reason
    judging, reading = rows_of(settings, owner), rows_of(settings, other)
    assert judging["guards"] == reading["guards"]
    assert judging["guard_events"] == reading["guard_events"]
    assert len(judging["verdicts"]) == 8
    assert reading["verdicts"] == [], "the owner alone writes them down"


def test_an_event_of_an_open_topic_is_a_duplicate_where_its_id_stands_before(
    settings: Settings, publisher: Publisher, app: Engine
) -> None:
    pushed = said(RepositoryPushed(repository_id=77, default_branch="main", tip="a" * 40), "open-1")
    done = said(failed(completed(result({600: 1}), repository_id=77)), "open-1")
    other = new_event(done.data, source="//other", time=T0, event_id="open-1")
    reader = Reader(app)
    bad = publisher.publish_raw(*_broken(done))
    positions = publisher.publish([pushed, done, pushed, done, other])
    readers = (REPOSITORIES, RECORDINGS, SERIES_POINTS)
    with running(settings, *readers) as runners:
        for one in readers:
            assert reader.wait_for(one.name, positions, 40.0)
        with app.connect() as connection:
            first = verdict(connection, positions[1], (done.source, done.id))
            assert first == Verdict(state=PENDING), "the index of events has to have passed it too"
            assert verdict(connection, positions[0]) == Verdict(state=ACCEPTED)
    assert not runners.failures
    with running(settings, EVENT_INDEX):
        assert reader.wait_for(EVENT_INDEX.name, positions, 40.0)
    with reader.snapshot(
        ()
    ) as snapshot:  # the index hides events of repositories from who does not say for whom he reads
        connection = snapshot.connection
        asked = [pushed, done, pushed, done, other]
        found = [
            verdict(connection, position, (event.source, event.id))
            for position, event in zip(positions, asked, strict=True)
        ]
        assert found == [
            Verdict(state=ACCEPTED),
            Verdict(state=ACCEPTED),
            Verdict(state=ACCEPTED),  # a push is applied again: what was said last holds
            Verdict(state=DUPLICATE, of=positions[1]),
            Verdict(state=ACCEPTED),
        ]
        assert verdict(connection, bad, (done.source, done.id)).state == REJECTED
    reader.close()


def _broken(event: Event) -> tuple[Topic, bytes, bytes, Headers]:
    """The event with a payload that cannot be decoded: under its id a corrected one may follow."""
    key, _, headers = encode(event)
    return event.type.topics[0], key, b"{}", headers


def test_the_same_log_has_the_same_verdicts_in_batches_of_any_size(
    settings: Settings, lent_stack: StackUnderTest, publisher: Publisher, tmp_path: Path
) -> None:
    kinds = (
        lambda n: registered(n),
        lambda n: RepositoryUpdated(repository_id=n, fork=True),
        lambda n: RepositoryRemoved(repository_id=n),
        lambda n: RepositoryRenamed(repository_id=n, name=f"local/n{n}"),
    )
    positions = publisher.publish(
        [
            said(
                kinds[number * 7 % 11 % 4](number % 9),
                f"i-{number * 13 % 50}",
                expects=number % 5 if number % 3 == 0 else None,
            )
            for number in range(240)
        ]
    )
    seen: list[Rows] = []
    for size in (1, 7, 2_000):
        with fresh_database(lent_stack.database_url, "guards") as url:
            own = with_batches_of(settings_for(url, tmp_path / str(size), lent_stack.kafka_bootstrap), size)
            set_up(own)
            database = engine(own, Role.APP)
            reader = Reader(database)
            with running(own, REPOSITORIES) as runners:
                assert reader.wait_for("repositories", positions, 60.0)
            seen.append(rows_of(own, runners.generations[0]))
            reader.close()
            database.dispose()
    assert {row[3] for row in seen[0]["verdicts"]} == {ACCEPTED, REJECTED, DUPLICATE}
    assert seen[0] == seen[1] == seen[2]


def with_batches_of(settings: Settings, size: int) -> Settings:
    return settings.model_copy(update={"projector_batch_events": size})
