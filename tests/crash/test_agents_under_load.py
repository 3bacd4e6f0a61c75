"""Agents die, are paused and forget where they were, while insights are planned and counted: every value is right.

One log and one database for all of it; the checker looks at the log and at every table after each kind of fault.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HANDS_APP, HEADS_APP
from projections.reading import Reader
from schemas.events import BackfillPlanned, PlanCause, SearchCompleted
from schemas.topics import Topic
from streams import faults
from tests.crash.rounds import ROUNDS, SOAK_S, grown, moments
from tests.integration.streams.children import Child, start_projector, start_worker
from tests.integration.streams.log import events_on
from tests.stack import StackUnderTest
from tests.support.checker import check, wait_until_projected
from tests.support.groups import forget_groups
from tests.support.projecting import settings_for
from tests.support.servers import Servers
from tests.support.system import eventually
from tests.support.work import Work, numbers

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400 + SOAK_S * ROUNDS)]

APPS = ("heads", "hands")
TIMES = int(grown(5, 20))


@pytest.fixture(scope="module")
def settings(own_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(own_stack.database_url, tmp_path_factory.mktemp("home"), own_stack.kafka_bootstrap)
    set_up(found)
    return found


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[Reader]:
    engine = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    found = Reader(engine)
    with start_projector(settings):
        assert wait_until_projected(settings) == []
        yield found
    found.close()
    engine.dispose()


@pytest.fixture(scope="module")
def work(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    with Publisher(settings) as publisher:
        yield Work(publisher, tmp_path_factory.mktemp("repositories"))


def whole(settings: Settings, work: Work, reader: Reader) -> list[str]:
    """What the checker finds, with the agents at rest."""
    return [*wait_until_projected(settings), *work.problems(reader), *check(settings, work.acknowledged)]


def ready(worker: Child) -> Child:
    worker.wait_for(
        lambda lines: any(line.get("action") == "ready" for line in lines), "a worker", timeout_s=120
    )
    return worker


def ask(work: Work, repositories: int = 2) -> None:
    """Some repositories, and an insight over all there are."""
    for number in numbers(work, repositories):
        work.register(number)
    work.create(len(work.series))


def test_agents_killed_at_random(settings: Settings, work: Work, reader: Reader) -> None:
    unfinished = 0
    with ExitStack() as running:
        workers = {app: running.enter_context(start_worker(settings, app)) for app in APPS}
        for number, wait_s in enumerate(moments(0.0, 2.0)):
            app = APPS[number % 2]
            ready(workers[app])
            ask(work)
            time.sleep(wait_s)
            unfinished += bool(work.problems(reader))
            family = psutil.Process(workers[app].pid).children(recursive=True)
            workers[app].kill()
            assert workers[app].process.returncode == -signal.SIGKILL, "it was alive until then"
            _, alive = psutil.wait_procs(family, timeout=10)
            assert not alive, "who counts dies with the worker"
            workers[app] = running.enter_context(start_worker(settings, app))
        assert unfinished > 0, "they died with work to do"
        work.wait_done(reader)
        assert {app: worker.terminate() for app, worker in workers.items()} == dict.fromkeys(APPS, 0)
    assert whole(settings, work, reader) == []


def test_agents_told_to_end_under_load(
    settings: Settings, work: Work, reader: Reader, admin: KafkaAdmin
) -> None:
    before = repeated(settings, admin)
    in_flight, took_s = 0, []
    with ExitStack() as running:
        workers = {app: running.enter_context(start_worker(settings, app)) for app in APPS}
        for number, wait_s in enumerate(moments(0.0, 1.0, TIMES)):
            app = APPS[number % 2]
            ready(workers[app])
            ask(work, 1)
            time.sleep(wait_s)
            in_flight += work.open_jobs(reader)
            began_s = time.monotonic()
            assert workers[app].terminate() == 0
            took_s.append(time.monotonic() - began_s)
            workers[app] = running.enter_context(start_worker(settings, app))
        assert in_flight > 0, "they ended with work to do"
        work.wait_done(reader)
        assert {app: worker.terminate() for app, worker in workers.items()} == dict.fromkeys(APPS, 0)
    assert max(took_s) < 10.0, took_s
    assert repeated(settings, admin) - before <= in_flight, "no more is done again than was in flight"
    assert whole(settings, work, reader) == []


def repeated(settings: Settings, admin: KafkaAdmin) -> int:
    """Outcomes on the log beyond one for each request and attempt."""
    said = [one.data for one in events_on(settings, admin, [Topic.RESULTS])]
    found = [
        (one.repository_id, one.request_id, one.attempt) for one in said if isinstance(one, SearchCompleted)
    ]
    return len(found) - len(set(found))


def test_the_broker_killed_while_agents_work(
    settings: Settings, work: Work, reader: Reader, own_stack: StackUnderTest
) -> None:
    servers = Servers(own_stack.home)
    open_without_it = 0
    with start_worker(settings, "heads") as heads, start_worker(settings, "hands") as hands:
        ready(heads)
        ready(hands)
        for wait_s in moments(0.0, 0.5):
            ask(work, 1)
            eventually(lambda: work.open_jobs(reader), "something to do", timeout_s=120, poll_s=0.01)
            time.sleep(wait_s)
            killed = servers.kill("kafka")
            open_without_it += work.open_jobs(reader)
            assert servers.back("kafka", killed) != killed
        assert open_without_it > 0, "it died with work to do"
        work.wait_done(reader)
        assert (heads.terminate(), hands.terminate()) == (0, 0)
    assert whole(settings, work, reader) == []


def test_a_worker_paused_past_its_lease_is_succeeded_and_ends_when_it_wakes(
    settings: Settings, work: Work, reader: Reader
) -> None:
    with start_worker(settings, "heads") as heads, start_worker(settings, "hands") as first:
        ready(heads)
        ready(first)
        ask(work)
        eventually(lambda: work.open_jobs(reader), "something to do", timeout_s=60, poll_s=0.01)
        first.process.send_signal(signal.SIGSTOP)
        assert work.open_jobs(reader) > 0, "it was paused with work to do"
        with start_worker(settings, "hands") as second:
            ready(second)
            ask(work)
            work.wait_done(reader)
            eventually(lambda: slots(settings) == 1, "the paused worker's lease to be over", timeout_s=60)
            first.process.send_signal(signal.SIGCONT)
            assert first.exit_code(60) == 70, "its slot is another's, or free: it must not go on"
            ask(work)
            work.wait_done(reader)
            assert (heads.terminate(), second.terminate()) == (0, 0)
    assert whole(settings, work, reader) == []


def test_the_offsets_of_the_agents_deleted(
    settings: Settings, work: Work, reader: Reader, admin: KafkaAdmin
) -> None:
    before = plans(settings, admin)
    assert forget_groups(settings, "millstream-h") == len(APPS)
    with start_worker(settings, "heads") as heads, start_worker(settings, "hands") as hands:
        ready(heads)
        ready(hands)
        ask(work)
        work.wait_done(reader)
        eventually(
            lambda: plans(settings, admin) >= before + len(work.series),
            "all to be planned again",
            timeout_s=120,
        )
        assert (heads.terminate(), hands.terminate()) == (0, 0)
    assert whole(settings, work, reader) == []


def test_the_checker_sees_a_batch_that_was_acknowledged_on_failure_and_the_reconciler_mends_it(
    settings: Settings, work: Work, reader: Reader, admin: KafkaAdmin, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    wrong = {
        faults.BUG_VARIABLE: faults.ACKNOWLEDGE_ON_FAILURE,
        faults.FAILS_VARIABLE: "planner.insights:1",
        faults.SILENCE_VARIABLE: "reconciler",
        faults.MARKER_VARIABLE: str(marker),
    }
    with start_worker(settings, "heads", **wrong) as heads:
        ready(heads)
        work.create(len(work.series))
        position = work.acknowledged[-1].position
        eventually(marker.exists, "the batch to fail", timeout_s=60)
        eventually(
            lambda: (
                admin.group_offsets(HEADS_APP).get((position.topic, position.partition), 0) > position.offset
            ),
            "the failed batch to be acknowledged",
            timeout_s=60,
        )
        assert heads.terminate() == 0
    problems = whole(settings, work, reader)
    assert problems == [f"insight {list(work.series)[-1]} was never planned"]
    with start_worker(settings, "heads") as heads, start_worker(settings, "hands") as hands:
        work.wait_done(reader)
        assert (heads.terminate(), hands.terminate()) == (0, 0)
    assert whole(settings, work, reader) == []


@pytest.fixture(scope="module")
def admin(settings: Settings) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(settings) as found:
        yield found


def plans(settings: Settings, admin: KafkaAdmin) -> int:
    """Plans of new insights on the log, repeats counted."""
    said = [one.data for one in events_on(settings, admin, [Topic.INSIGHTS])]
    return sum(isinstance(one, BackfillPlanned) and one.cause is PlanCause.INSIGHT_CREATED for one in said)


def slots(settings: Settings) -> int:
    """Sessions that hold slots of the hands."""
    with connect(settings, Role.PROJECTOR) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where application_name = %s",
            (f"millstream-slot-{HANDS_APP}",),
        ).fetchone()
    return 0 if row is None else int(row[0])
