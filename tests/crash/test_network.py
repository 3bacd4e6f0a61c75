"""The network between our clients and the broker is cut, slow, or silent: what is not acknowledged is said to be, nothing is lost.

A broker of this module's own has a listener behind a proxy; the tests look at it by another one, past the proxy.
"""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from schemas.codec import decode
from schemas.envelope import Event
from tests.crash.loads import BATCH, BATCH_RECORDS, RATE_PER_S, moving
from tests.crash.rounds import ROUNDS, SEED, SOAK_S, moments
from tests.integration.streams.children import start_worker
from tests.stack import StackUnderTest, fresh_database
from tests.support.brokers import broker, with_proxied_listener
from tests.support.checker import check, read_log, wait_until_projected
from tests.support.history import Garbage
from tests.support.load import Acknowledged, Load
from tests.support.projecting import settings_for
from tests.support.projectors import eventually, projector_running
from tests.support.proxy import Proxy
from tests.support.work import Work, numbers

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + SOAK_S * ROUNDS)]

ANSWER_S = 3.0
"""How long the load waits for an acknowledgement: less than an outage lasts."""
OUTAGE_S = 5.0
DELAY_S = 2.0


@dataclass(frozen=True, slots=True)
class Net:
    """An installation whose broker is reached by a proxy, and the same past it."""

    by_proxy: Settings
    past_it: Settings
    proxy: Proxy


@pytest.fixture(scope="module")
def net(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        listener: int = held.getsockname()[1]
    folder = tmp_path_factory.mktemp("network")
    with (
        Proxy(listener) as proxy,
        broker(folder / "broker", with_proxied_listener(listener, proxy.port)) as port,
        fresh_database(stack.database_url, "network") as url,
    ):
        past_it = settings_for(url, folder / "home", f"127.0.0.1:{port}")
        by_proxy = past_it.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{proxy.port}"})
        set_up(by_proxy)
        yield Net(by_proxy, past_it, proxy)


@pytest.fixture(scope="module")
def said() -> list[Acknowledged]:
    return []


def cut(proxy: Proxy) -> bool:
    before = proxy.broken, proxy.refused
    proxy.cut()
    time.sleep(OUTAGE_S)
    proxy.heal()
    return proxy.broken > before[0] and proxy.refused > before[1]


def half_open(proxy: Proxy) -> bool:
    before = proxy.swallowed_bytes, proxy.broken
    proxy.half_open()
    time.sleep(OUTAGE_S)
    proxy.heal()
    return proxy.swallowed_bytes > before[0] and proxy.broken > before[1]


def slow(proxy: Proxy) -> bool:
    before = proxy.delayed_bytes
    proxy.delay(DELAY_S)
    time.sleep(OUTAGE_S)
    proxy.heal()
    return proxy.delayed_bytes > before


FAULTS: tuple[Callable[[Proxy], bool], ...] = (cut, slow, half_open)


@pytest.fixture(scope="module")
def reader(net: Net) -> Iterator[Reader]:
    database = make_engine(net.past_it, Role.WORKER, pool_size=2, name="test")
    found = Reader(database)
    yield found
    found.close()
    database.dispose()


def test_the_network_is_hurt_between_agents_and_broker(
    net: Net, reader: Reader, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fired = 0
    with (
        projector_running(net.past_it),
        Publisher(net.past_it) as publisher,
        start_worker(net.by_proxy, "heads") as heads,
        start_worker(net.by_proxy, "hands") as hands,
    ):
        work = Work(publisher, tmp_path_factory.mktemp("repositories"))
        for worker in (heads, hands):
            worker.wait_for(
                lambda lines: any(line.get("action") == "ready" for line in lines), "a worker", timeout_s=120
            )
        for fault, wait_s in zip(FAULTS, moments(0.0, 1.0, len(FAULTS)), strict=True):
            for number in numbers(work, 1):
                work.register(number)
            work.create(len(work.series))
            time.sleep(wait_s)
            fired += fault(net.proxy)
        assert fired == len(FAULTS)
        work.wait_done(reader)
        assert (heads.terminate(), hands.terminate()) == (0, 0)
        late = wait_until_projected(net.past_it)
    assert [*late, *work.problems(reader), *check(net.past_it, work.acknowledged)] == []


def test_the_network_is_hurt_at_random_between_publisher_projector_and_broker(
    net: Net, said: list[Acknowledged]
) -> None:
    fired = dict.fromkeys((one.__name__ for one in FAULTS), 0)
    with (
        Load(net.by_proxy, SEED * 1_000, RATE_PER_S, answer_s=ANSWER_S) as load,
        projector_running(net.by_proxy, environ=BATCH),
    ):
        for number, wait_s in enumerate(moments(0.0, 1.0)):
            moving(net.past_it)
            time.sleep(wait_s)
            fault = FAULTS[number % len(FAULTS)]
            fired[fault.__name__] += fault(net.proxy)
            assert load.grown_by(BATCH_RECORDS), "the log is written again"
            moving(net.past_it)
        assert all(fired.values()), fired
        assert load.refusals > 0, "what was not acknowledged was said"
    said += load.acknowledged
    told = {one.value if isinstance(one, Garbage) else one.id for one in load.said}
    answered = {one.said.value if isinstance(one.said, Garbage) else one.said.id for one in said}
    assert answered == told, "every event was either acknowledged, or refused and published again"
    assert whole(net, said) == []


def whole(net: Net, said: list[Acknowledged]) -> list[str]:
    """What the checker finds once a projector has caught up and was stopped."""
    with projector_running(net.past_it):
        late = wait_until_projected(net.past_it)
    return late + check(net.past_it, said)


def test_the_checker_sees_a_publisher_that_takes_silence_for_an_acknowledgement(
    net: Net, said: list[Acknowledged]
) -> None:
    with Load(net.by_proxy, SEED * 1_000 + 1, RATE_PER_S, answer_s=ANSWER_S, believes=True) as load:
        assert load.grown_by(BATCH_RECORDS)
        net.proxy.cut()
        assert eventually(lambda: load.refusals > 0, 30.0), "a batch was not acknowledged"
        net.proxy.heal()
        assert load.grown_by(BATCH_RECORDS)
    believed = {one.said.id for one in load.acknowledged if isinstance(one.said, Event)}
    on_log = {found.id for record in read_log(net.past_it) if isinstance(found := decode(record), Event)}
    assert believed - on_log, "it was not there at all"
    problems = whole(net, [*said, *load.acknowledged])
    assert any("acknowledged records are not on the log" in problem for problem in problems), problems
