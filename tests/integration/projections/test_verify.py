"""``verify`` finds exactly what is wrong with a live generation, on a system that goes on meanwhile."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import kafka
import orjson
import pytest
from psycopg import sql

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import OWNER, Role
from infra.settings import Settings
from projections.catalogue import INSIGHTS, PROJECTIONS
from projections.reading import Reader
from projections.verification.comparing import Kind
from projections.verification.scratch import scratch_generation, sweep
from projections.verification.verify import Comparison, Outcome, verify
from schemas.topics import Topic
from tests.crash.conftest import history
from tests.stack import StackUnderTest
from tests.support.environ import program_environ
from tests.support.histories import history as everything
from tests.support.histories import outgoing
from tests.support.projecting import event, settings_for
from tests.support.projectors import ProjectorProcess, eventually
from tests.support.spawning import millstream_text

NAMES = tuple(one.name for one in PROJECTIONS)


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(lent_stack.database_url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
    set_up(found)
    return found


@pytest.fixture(scope="module")
def projector(settings: Settings) -> Iterator[ProjectorProcess]:
    """A running projector that has folded all that may happen: illegal events, repeats, retries, records that are no events."""
    _publish(settings, 1)
    with Publisher(settings) as publisher:
        publisher.publish_all(outgoing(everything(8)))
    with ProjectorProcess(settings) as process:
        _wait(settings)
        yield process
        assert process.stop() == 0


def _publish(settings: Settings, seed: int, most: int | None = None) -> None:
    with Publisher(settings) as publisher:
        said = history(random.Random(seed))[:most]
        publisher.publish([event(payload, at=n, event_id=f"{seed}-{n}") for n, payload in enumerate(said)])


def _wait(settings: Settings) -> None:
    with KafkaAdmin(settings) as admin:
        ends = {
            (topic.value, number): marks.end
            for topic in sorted({topic for one in PROJECTIONS for topic in one.topics})
            for number, marks in admin.watermarks(topic).items()
        }
    database = engine(settings, Role.APP, pool_size=2)
    reader = Reader(database)
    try:
        assert all(reader.wait_until(name, ends, 60.0) for name in NAMES)
    finally:
        reader.close()
        database.dispose()


@contextmanager
def _damaged(settings: Settings, name: str, damage: str, undo: str) -> Iterator[None]:
    """The live generation of ``name`` with something done to it by hand, and undone afterwards."""
    _by_hand(settings, name, damage)
    try:
        yield
    finally:
        _by_hand(settings, name, undo)


def _by_hand(settings: Settings, name: str, statements: str) -> None:
    with connect(settings, Role.PROJECTOR) as connection:
        row = connection.execute(
            "select schema_name from runtime.generations where projection = %s", (name,)
        ).fetchone()
        assert row is not None
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER)))
        connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(str(row[0]))))
        connection.execute(statements.encode())


def _command(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return millstream_text("verify", *arguments, environ=program_environ(settings))


def _only(settings: Settings, name: str) -> Comparison:
    (found,) = verify(settings, [name], timeout_s=60.0)
    return found


def test_what_the_projector_wrote_is_what_the_log_says(
    settings: Settings, projector: ProjectorProcess
) -> None:
    told: dict[str, tuple[int, int]] = {}

    def report(name: str, done: int, of_all: int) -> None:
        told[name] = (done, of_all)

    found = verify(settings, timeout_s=120.0, report=report)
    assert [one.projection for one in found] == list(NAMES)
    for one in found:
        assert one.outcome is Outcome.EQUAL, (one.reason, [str(each) for each in one.differences])
        assert told[one.projection] == (one.events, one.events)
    events = {one.projection: one.events for one in found}
    rows = {one.projection: one.rows for one in found}
    assert events["series_points"] > 300
    assert rows["series_points"] > 300
    assert rows["recordings"] > 300
    assert _scratch_schemas(settings) == []


DAMAGES = {
    "a changed value": (
        "series_points",
        "update series_points set value = -value where (series_id, repo_id, time, capture) ="
        " (select series_id, repo_id, time, capture from series_points order by 2, 1, 3 limit 1)",
        "update series_points set value = -value where value < 0",
        {("series_points", Kind.CHANGED, "value")},
    ),
    "a cleared column": (
        "repositories",
        "update repo_names set path = null where id = 117",
        "update repo_names set path = '/p' where id = 117",
        {("repo_names", Kind.CHANGED, "path")},
    ),
    "a row that is gone": (
        "repositories",
        "create table kept as select * from repo_names where id = 117; delete from repo_names where id = 117",
        "insert into repo_names select * from kept; drop table kept",
        {("repo_names", Kind.MISSING, "")},
    ),
    "a row that nobody accounts for": (
        "series_points",
        "insert into series_planned values ('by hand', 1, 'MONTH', 1, '{[600,601)}')",
        "delete from series_planned where series_id = 'by hand'",
        {("series_planned", Kind.EXTRA, "")},
    ),
    "a dead letter that is gone": (
        "recordings",
        "create table kept as select * from dead_letters limit 1;"
        ' delete from dead_letters d using kept k where (d.topic, d.partition, d."offset") = (k.topic, k.partition, k."offset")',
        "insert into dead_letters select * from kept; drop table kept",
        {("dead_letters", Kind.MISSING, "")},
    ),
    "a verdict that was turned": (
        "repositories",
        "update verdicts set outcome = 'ACCEPTED' where outcome = 'REJECTED' and (topic, partition, \"offset\") ="
        " (select topic, partition, \"offset\" from verdicts where outcome = 'REJECTED' order by 1, 2, 3 limit 1)",
        "update verdicts set outcome = 'REJECTED' where outcome = 'ACCEPTED' and reason_code is not null",
        {("verdicts", Kind.CHANGED, "outcome")},
    ),
    "a guard that has forgotten": (
        "insights",
        "create table kept as select * from guard_events limit 1;"
        " delete from guard_events g using kept k where (g.aggregate, g.event_id) = (k.aggregate, k.event_id)",
        "insert into guard_events select * from kept; drop table kept",
        {("guard_events", Kind.MISSING, "")},
    ),
    "an event that the index does not find": (
        "event_index",
        "update events set event_id = 'by hand' where event_id = '1-7'",
        "update events set event_id = '1-7' where event_id = 'by hand'",
        {("events", Kind.CHANGED, "event_id")},
    ),
    "a checkpoint of another topic": (
        "insights",
        "update checkpoints set topic_id = overlay(topic_id placing '\\x00ff'::bytea from 1) where partition = 0",
        "update checkpoints c set topic_id = o.topic_id from series_points_g1.checkpoints o"
        " where (o.topic, o.partition) = (c.topic, c.partition)",
        {("checkpoints", Kind.CHANGED, "topic_id")},
    ),
    "what is bookkeeping": (
        "recordings",
        "update insights_query_runner_jobs set dispatched_attempt = 9 where request_id = 'r-17'",
        "update insights_query_runner_jobs set dispatched_attempt = null where request_id = 'r-17'",
        set(),
    ),
}


@pytest.mark.parametrize("wrong", DAMAGES)
def test_what_is_wrong_is_found_and_nothing_else(
    settings: Settings, projector: ProjectorProcess, wrong: str
) -> None:
    name, damage, undo, expected = DAMAGES[wrong]
    with _damaged(settings, name, damage, undo):
        found = _only(settings, name)
    assert {(one.table, one.kind, one.column) for one in found.differences} == expected, found
    assert found.different == len(expected)
    assert found.outcome is (Outcome.DIFFERENT if expected else Outcome.EQUAL)
    assert _only(settings, name).equal


def test_a_difference_names_the_row_and_both_values(settings: Settings, projector: ProjectorProcess) -> None:
    with _damaged(
        settings,
        "repositories",
        "update repo_names set name = 'by hand' where id = 118",
        "update repo_names set name = 'local/r118' where id = 118",
    ):
        (one,) = _only(settings, "repositories").differences
    assert str(one) == "repo_names[id=118] name: live 'by hand', replayed 'local/r118'"


def test_the_command_says_what_differs_and_by_its_exit_code(
    settings: Settings, projector: ProjectorProcess
) -> None:
    equal = _command(settings, "repositories")
    assert equal.returncode == 0, equal.stderr
    assert "EQUAL" in equal.stdout
    assert "replaying repositories: 0 of" in equal.stderr
    damage = "update repo_names set name = 'by hand' where id in (118, 119, 120)"
    undo = "update repo_names set name = 'local/r' || id where id in (118, 119, 120)"
    with _damaged(settings, "repositories", damage, undo):
        different = _command(settings, "repositories", "--differences", "1")
        plain = _command(settings, "repositories", "--json")
    assert different.returncode == 1
    assert "repo_names[id=118] name: live 'by hand', replayed 'local/r118'" in different.stdout
    assert "3 rows differ in all" in different.stdout
    assert plain.returncode == 1
    (shown,) = orjson.loads(plain.stdout)["projections"]
    assert (shown["result"], shown["different"], len(shown["differences"])) == ("DIFFERENT", 3, 3)


def test_another_build_and_an_outage_are_refused_with_the_reason(
    settings: Settings, projector: ProjectorProcess
) -> None:
    damage = "update runtime.generations set {} where projection = 'insights'"
    for change, undo, reason in (
        ("version = version + 1", "version = version - 1", "version"),
        ("fingerprint = 'x' || fingerprint", "fingerprint = substr(fingerprint, 2)", "other tables"),
    ):
        with _damaged(settings, "insights", damage.format(change), damage.format(undo)):
            refused = _command(settings, "insights")
        assert refused.returncode == 3, refused.stdout
        assert reason in refused.stderr
    found = verify(settings, ["series_points"], timeout_s=1e-9)[0]
    assert (found.outcome, found.equal) == (Outcome.REFUSED, False)
    assert "the time is over" in found.reason
    nowhere = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    assert "does not answer" in verify(nowhere, ["insights"])[0].reason
    assert _scratch_schemas(settings) == []


def test_it_is_equal_while_the_log_grows_and_the_projector_works(
    settings: Settings, projector: ProjectorProcess
) -> None:
    stop = threading.Event()

    def work() -> None:
        seed = 100
        while not stop.is_set():
            _publish(settings, seed, 200)
            seed += 1

    publishing = threading.Thread(target=work)
    publishing.start()
    try:
        sizes = []
        for _ in range(3):
            found = _only(settings, "series_points")
            assert found.equal, [str(one) for one in found.differences]
            sizes.append(found.events)
    finally:
        stop.set()
        publishing.join(60)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    _wait(settings)
    groups = {f"millstream.projection.{name}.g1" for name in NAMES}
    with KafkaAdmin(settings) as admin:
        assert {group for group in admin.groups() if "projection" in group} == groups, (
            "a replay joins no group"
        )


def test_what_a_killed_verification_left_is_swept_and_a_running_one_is_not(
    settings: Settings, projector: ProjectorProcess
) -> None:
    program = (
        "import os, signal, sys\n"
        "from infra.settings import Settings\n"
        "from projections.verification import verify\n"
        "verify.replay = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "verify.verify(Settings.model_validate_json(sys.stdin.read()), ['insights'])\n"
    )
    values = {
        "home": str(settings.home),
        "kafka_bootstrap": settings.kafka_bootstrap,
        "database_url": settings.database_url.get_secret_value(),
    }
    killed = subprocess.run(
        [sys.executable, "-c", program], input=orjson.dumps(values), capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    (left,) = _scratch_schemas(settings)
    assert left.endswith("_insights")
    database = engine(settings, Role.PROJECTOR, pool_size=1)
    with scratch_generation(settings, database, INSIGHTS) as running:
        assert eventually(lambda: left in sweep(settings), 20.0)
        assert _scratch_schemas(settings) == [running.schema_name]
        assert _only(settings, "insights").equal
        assert _scratch_schemas(settings) == [running.schema_name]
    database.dispose()
    assert _scratch_schemas(settings) == []


def test_what_has_expired_is_no_difference_where_it_may_and_refuses_where_it_may_not(
    settings: Settings, projector: ProjectorProcess
) -> None:
    """The last test here: it cuts the log."""
    _cut(settings, Topic.WORK_BACKGROUND)
    for found in verify(settings, ["recordings", "event_index"], timeout_s=60.0):
        assert found.equal, [str(one) for one in found.differences]
    _cut(settings, Topic.RESULTS)
    refused = _only(settings, "series_points")
    assert refused.outcome is Outcome.REFUSED
    assert "what came before is lost" in refused.reason
    assert _only(settings, "repositories").equal


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
        assert any(marks.start > 0 for marks in admin.watermarks(topic).values())


def _scratch_schemas(settings: Settings) -> list[str]:
    with connect(settings, Role.PROJECTOR) as connection:
        rows = connection.execute(
            "select nspname from pg_namespace where nspname like 'verify\\_%'"
        ).fetchall()
    return [str(name) for (name,) in rows]
