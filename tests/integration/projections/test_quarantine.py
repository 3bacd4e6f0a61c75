"""A bug in a fold costs its aggregate and no other, keeps what it costs, and stops the projection when it is everywhere."""

import itertools
import json
import random
import string
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import REPOSITORIES
from projections.folding import Folding
from projections.judged import ACCEPTED, verdict
from projections.projection import Cursor, Prepare, Projection, Write
from projections.reading import Reader
from projections.runner.errors import FoldFailed
from schemas.codec import decode
from schemas.envelope import Event, Position, Record
from schemas.events import RepositoryRegistered, RepositoryRenamed, SettingsChanged
from tests.stack import StackUnderTest, fresh_database
from tests.support.environ import program_environ
from tests.support.projecting import event, settings_for
from tests.support.projectors import eventually
from tests.support.running import running
from tests.support.spawning import millstream_text

Rows = list[tuple[object, ...]]
_bases = itertools.count(100, 100)


@pytest.fixture
def settings(lent_stack: StackUnderTest, tmp_path: Path) -> Iterator[Settings]:
    with fresh_database(lent_stack.database_url, "quarantine") as url:
        found = settings_for(url, tmp_path, lent_stack.kafka_bootstrap)
        set_up(found)
        yield found


@pytest.fixture(scope="module")
def publisher(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    found = settings_for(lent_stack.database_url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
    set_up(found)
    with Publisher(found) as publisher:
        yield publisher


def with_fold(prepare: Prepare) -> Projection:
    """The repositories with this fold."""
    found: Projection = msgspec.structs.replace(REPOSITORIES, prepare=prepare)
    return found


def history(publisher: Publisher, base: int) -> list[Position]:
    """Nine repositories, each registered and renamed three times; the third one's second renaming meets a bug."""
    ids = range(base + 1, base + 10)
    said = [event(RepositoryRegistered(repository_id=n, name=f"local/r{n}", path="/p")) for n in ids]
    said += [
        event(RepositoryRenamed(repository_id=n, name=f"local/{turn}-{n}")) for turn in "abc" for n in ids
    ]
    return publisher.publish(said)


def meets_bug(events: Sequence[Folding], base: int) -> bool:
    return any(
        one.event.data == RepositoryRenamed(repository_id=base + 3, name=f"local/b-{base + 3}")
        for one in events
    )


def raising(base: int) -> Prepare:
    """A fold with a bug."""

    def prepare(events: Sequence[Folding]) -> Write:
        if meets_bug(events, base):
            raise KeyError("a bug")
        return REPOSITORIES.prepare(events)

    return prepare


def refused(base: int) -> Prepare:
    """A writer that makes a row which Postgres cannot hold."""
    # Random, so that Postgres cannot compress it below a btree's limit of 2,704 bytes.
    long = "".join(random.Random(1).choices(string.ascii_letters, k=20_000))

    def prepare(events: Sequence[Folding]) -> Write:
        write_good = REPOSITORIES.prepare(events)

        def write(cursor: Cursor) -> int:
            if meets_bug(events, base):
                cursor.execute("update generation set projection = %s", (long,))
            return write_good(cursor)

        return write

    return prepare


def query(settings: Settings, statement: str) -> Rows:
    with connect(settings, Role.PROJECTOR) as connection:
        return connection.execute(statement.encode()).fetchall()


def names(settings: Settings, base: int) -> dict[int, str]:
    rows = query(
        settings, f"select id, name from repositories_g1.repo_names where id between {base} and {base + 99}"
    )
    return {int(str(number)): str(name) for number, name in rows}


@pytest.mark.parametrize(
    ("buggy", "words"), [(raising, "KeyError: 'a bug'"), (refused, "ProgramLimitExceeded")]
)
@pytest.mark.parametrize("size", [1, 2_000])
def test_one_aggregate_waits_in_order_and_the_others_go_on(
    settings: Settings, publisher: Publisher, buggy: Callable[[int], Prepare], words: str, size: int
) -> None:
    settings = settings.model_copy(update={"projector_batch_events": size})
    base = next(_bases)
    prepare, third = buggy(base), base + 3
    positions = history(publisher, base)
    bad, behind = positions[9 + 9 + 2], positions[9 + 18 + 2]
    app = engine(settings, Role.APP)
    reader = Reader(app)
    try:
        with running(settings, with_fold(prepare)) as runners:
            assert reader.wait_for("repositories", positions, 60.0)
            rows = query(
                settings,
                'select "offset", behind, aggregate, reason, trace, key, value, header_names, header_values, append_time '
                "from repositories_g1.quarantine order by 1",
            )
            assert [row[:3] for row in rows] == [
                (bad.offset, None, str(third)),
                (behind.offset, bad.offset, str(third)),
            ]
            assert words in str(rows[0][3])
            assert "Traceback" in str(rows[0][4])
            assert rows[1][4] is None
            again = _decoded(bad, rows[0])
            assert again.data == RepositoryRenamed(repository_id=third, name=f"local/b-{third}")
            expected = {n: f"local/c-{n}" for n in range(base + 1, base + 10)} | {third: f"local/a-{third}"}
            assert names(settings, base) == expected
        assert not runners.failures
        with running(settings, with_fold(prepare)) as runners:  # what is held is known after a restart
            later = publisher.publish(
                [event(RepositoryRenamed(repository_id=n, name="local/later")) for n in (base + 1, third)]
            )
            assert reader.wait_for("repositories", later, 60.0)
        assert not runners.failures
        assert names(settings, base) == expected | {base + 1: "local/later"}
        held = query(
            settings,
            'select behind from repositories_g1.quarantine order by partition, "offset" desc limit 1',
        )
        assert held == [(bad.offset,)]
        with app.connect() as connection:
            found = verdict(connection, later[1])
            assert found.state == ACCEPTED, "the verdict is of the log, not of the fold"
            with pytest.raises(ProgrammingError) as denied:
                connection.execute(text("select reason from repositories_g1.quarantine"))
            assert isinstance(denied.value.orig, errors.InsufficientPrivilege)
        shown = _listed(settings)
        assert (shown["quarantinedAggregates"], shown["quarantinedEvents"]) == (1, 3)
        assert shown["state"] == "STOPPED"
    finally:
        reader.close()
        app.dispose()


def test_a_bug_everywhere_stops_the_projection_which_says_so(
    settings: Settings, publisher: Publisher
) -> None:
    def broken(events: Sequence[Folding]) -> Write:
        if events:
            raise RuntimeError("a bug in everything")
        return REPOSITORIES.prepare(events)

    base = next(_bases)
    history(publisher, base)
    with running(settings, with_fold(broken)) as runners:
        assert eventually(lambda: bool(runners.failures), 60.0)
    (failure,) = runners.failures
    assert isinstance(failure, FoldFailed)
    assert "flooded" in str(failure)
    assert "a bug in everything" in str(failure)
    assert query(settings, "select count(*) from repositories_g1.quarantine") == [(0,)]
    shown = _listed(settings)
    assert shown["state"] == "FAILED"
    assert "flooded" in str(shown["reason"])
    with running(settings, REPOSITORIES) as runners:  # the corrected build goes on where it stood
        assert eventually(lambda: len(names(settings, base)) == 9, 60.0)
    assert not runners.failures


PROGRAM = """
import sys
from infra.settings import load_settings
from projections.process import run
from projections.repositories import fold
class Buggy:
    def set(self, *key, **columns):
        raise RuntimeError("a bug in everything")
    def upserts(self):
        return []
fold.SparseTable = lambda *arguments: Buggy()
sys.exit(run(load_settings(), ["repositories", "settings"]))
"""


def test_a_projection_that_failed_leaves_the_others_of_its_process_running(
    settings: Settings, publisher: Publisher
) -> None:
    history(publisher, next(_bases))
    app = engine(settings, Role.APP)
    reader = Reader(app)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[3],
        env=_environ(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: _listed(settings)["state"] == "FAILED", 60.0)
        change = SettingsChanged(key="insights.query.worker.concurrency", value=3, changed_by="c")
        assert reader.wait_for("settings", publisher.publish([event(change)]), 60.0)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(10)
        reader.close()
        app.dispose()


def test_an_outage_in_the_middle_of_a_write_is_no_quarantine(
    settings: Settings, publisher: Publisher
) -> None:
    cut: list[int] = []

    def cutting(events: Sequence[Folding]) -> Write:
        write_good = REPOSITORIES.prepare(events)

        def write(cursor: Cursor) -> int:
            rows = write_good(cursor)
            if len(cut) < 3:
                cut.append(1)
                cursor.execute("select pg_terminate_backend(pg_backend_pid())")
            return rows

        return write

    positions = history(publisher, next(_bases))
    app = engine(settings, Role.APP)
    reader = Reader(app)
    with running(settings, with_fold(cutting)) as runners:
        assert reader.wait_for("repositories", positions, 60.0)
    reader.close()
    app.dispose()
    assert not runners.failures
    assert len(cut) == 3
    assert query(settings, "select count(*) from repositories_g1.quarantine") == [(0,)]
    assert query(settings, "select count(*) from repositories_g1.dead_letters") == [(0,)]


def test_tables_that_are_gone_are_nobodys_event(settings: Settings, publisher: Publisher) -> None:
    positions = history(publisher, next(_bases))
    app = engine(settings, Role.APP)
    reader = Reader(app)
    with running(settings, REPOSITORIES) as runners:
        assert reader.wait_for("repositories", positions, 60.0)
        with connect(settings, Role.ADMIN, autocommit=True) as admin:
            admin.execute("alter table repositories_g1.repo_names rename to hidden")
        history(publisher, next(_bases))
        assert eventually(lambda: bool(runners.failures), 60.0)
    reader.close()
    app.dispose()
    assert isinstance(runners.failures[0], FoldFailed)
    assert isinstance(runners.failures[0].__cause__, psycopg.errors.UndefinedTable)
    assert query(settings, "select count(*) from repositories_g1.quarantine") == [(0,)]


def _decoded(position: Position, row: tuple[object, ...]) -> Event:
    key, value, header_names, header_values, _ = row[5:]
    assert isinstance(key, bytes)
    assert isinstance(value, bytes)
    assert isinstance(header_names, list)
    assert isinstance(header_values, list)
    headers = tuple(zip(header_names, header_values, strict=True))
    found = decode(Record(position.topic, position.partition, position.offset, 0, key, value, headers))
    assert isinstance(found, Event)
    return found


def _environ(settings: Settings) -> dict[str, str]:
    return program_environ(settings, {"MILLSTREAM_KAFKA_SESSION_TIMEOUT_MS": "6000"})


def _listed(settings: Settings) -> dict[str, object]:
    done = millstream_text("projection", "list", "--json", environ=_environ(settings))
    done.check_returncode()
    rows: list[dict[str, object]] = json.loads(done.stdout)
    return next(row for row in rows if row["name"] == "repositories")
