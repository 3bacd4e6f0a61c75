"""Workers and projectors die, come and go while monitors fire: everybody is told of everything, once, unless who told them died."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import psutil
import pytest

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from projections.repositories import queries as repositories
from streams import faults
from tests.crash.rounds import ROUNDS, SEED, SOAK_S, moments
from tests.integration.streams.children import Child, start_projector, start_worker
from tests.stack import StackUnderTest
from tests.support.checker import wait_until_projected
from tests.support.groups import forget_groups
from tests.support.hearing import (
    Kill,
    are_at_rest,
    fires,
    heard,
    problems,
    repeats,
    verify_signatures,
)
from tests.support.projecting import settings_for
from tests.support.projectors import eventually as happens
from tests.support.receiver import Receiver, Told, receiving
from tests.support.system import eventually
from tests.support.watching import PER_PUSH, Scene

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400 + SOAK_S * ROUNDS)]

PROJECTOR, HEADS, HANDS = "projector", "heads", "hands"
PARTS: Final = (HEADS, HANDS, PROJECTOR)
REPOSITORIES: Final = 21
"""The first one is pushed to in every round, before its last push was told; the others have their turns."""
PUSHES: Final = max(20, ROUNDS)
"""Of the others: ``PER_PUSH`` monitors fire for each, 200 in all at least."""
QUIET_S: Final = 2.0
"""How long somebody is watched who must not say anything."""
WAIT_S: Final = 120.0
HELD_S: Final = 50.0
"""How long a receiver keeps a sender waiting at most, who gives up after ``GIVES_UP_S``: then it may send again, and nobody died."""
GIVES_UP_S: Final = 60


class World:
    """An installation, its processes, and the kills of senders so far."""

    def __init__(self, settings: Settings, scene: Scene, receiver: Receiver, reader: Reader) -> None:
        self.settings, self.scene, self.receiver, self.reader = settings, scene, receiver, reader
        self.kills: list[Kill] = []
        self.pushes = 0

    def start(self, part: str, **more: str) -> Child:
        if part == PROJECTOR:
            return start_projector(self.settings)
        return start_worker(
            self.settings,
            part,
            MILLSTREAM_ACTION_ALLOWED_HOSTS="127.0.0.1",
            MILLSTREAM_ACTION_TIMEOUT_S=str(GIVES_UP_S),
            **more,
        )

    def push(self, times: int = 1) -> None:
        """Each to another repository."""
        for _ in range(times):
            self.scene.push(1 + self.pushes % (REPOSITORIES - 1))
            self.pushes += 1

    def untold(self) -> int:
        """How much is on its way."""
        return len(self.scene.owed() - heard(self.scene, self.receiver).keys())

    def kill(self, part: str, child: Child) -> None:
        family = psutil.Process(child.pid).children(recursive=True)
        alive_s = time.monotonic()
        child.kill()
        assert child.process.returncode == -signal.SIGKILL, "it was alive until then"
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, "what it started dies with it"
        if part == HEADS:
            self.kills.append(Kill(alive_s, time.monotonic()))

    def settle(self) -> list[str]:
        """What is still wrong when everything that was asked for has been done."""
        with KafkaAdmin(self.settings) as admin:
            eventually(lambda: are_at_rest(admin), "the agents to have read all", timeout_s=WAIT_S)
        late = wait_until_projected(self.settings)
        return late + problems(self.scene, self.receiver, self.settings, self.kills)

    def whole(self) -> list[str]:
        """The same, after some time in which it may become right."""
        eventually(lambda: not self.untold(), "everybody to be told", timeout_s=WAIT_S, poll_s=0.2)
        return self.settle()


def ready(child: Child) -> Child:
    child.wait_for(
        lambda lines: any(line.get("action") == "ready" for line in lines), "a process", timeout_s=120
    )
    return child


@pytest.fixture(scope="module")
def world(servers_of: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Repositories that are ready, monitors that watch them; nobody works."""
    settings = settings_for(
        servers_of.database_url, tmp_path_factory.mktemp("home"), servers_of.kafka_bootstrap
    )
    set_up(settings)
    engine = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    reader = Reader(engine)
    with receiving() as receiver, Publisher(settings) as publisher:
        scene = Scene(settings, publisher, receiver, tmp_path_factory.mktemp("repositories"))
        scene.register(REPOSITORIES)
        world = World(settings, scene, receiver, reader)
        with world.start(PROJECTOR), world.start(HANDS) as hands:
            ready(hands)
            assert wait_until_projected(settings) == []
            eventually(lambda: all_ready(reader), "the clones", timeout_s=60)
            scene.watch()
            assert hands.terminate() == 0
        yield world
    reader.close()
    engine.dispose()


def all_ready(reader: Reader) -> bool:
    with reader.snapshot(("repositories",)) as snapshot:
        found = repositories.all_repositories(snapshot.connection)
    return len(found) == REPOSITORIES and all(one.clone_state == "ready" for one in found)


def slowly(told: Told) -> None:
    """A receiver takes its time: what is sent is on its way for a while."""
    time.sleep(0.02 + 0.2 * random.random())


def test_a_delivery_that_is_on_its_way_while_partitions_move_is_not_sent_by_their_next_owner(
    world: World,
) -> None:
    go_on = threading.Event()

    def hold(_: Told) -> None:
        go_on.wait(HELD_S)

    world.receiver.on_request = hold
    with ExitStack() as running:
        running.enter_context(world.start(PROJECTOR))
        first = {part: running.enter_context(world.start(part)) for part in (HEADS, HANDS)}
        ready(first[HEADS])
        world.push()
        eventually(lambda: world.receiver.told, "a delivery on its way", timeout_s=60)
        second = ready(running.enter_context(world.start(HEADS)))
        world.push()
        assert not happens(lambda: bool(repeats(world.receiver)), QUIET_S)
        go_on.set()
        world.receiver.on_request = slowly
        assert world.whole() == []
        assert [one.terminate() for one in (*first.values(), second)] == [0, 0, 0]
    assert not repeats(world.receiver), "nobody died"


def test_agents_and_projectors_killed_at_random(world: World) -> None:
    fired, asked, unfinished = fires(world.settings), world.pushes + PUSHES, 0
    # Every other sender dies at work, the others whenever it comes.
    victims = [PARTS[number % len(PARTS)] for number in range(ROUNDS)]
    random.Random(SEED).shuffle(victims)
    senders = 0
    edited = world.scene.watches[0]
    told_at = f"/{edited.word}"
    world.receiver.on_request = slowly
    with ExitStack() as running:
        alive = {part: running.enter_context(world.start(part)) for part in PARTS}
        others: list[Child] = []
        for number, (victim, wait_s) in enumerate(zip(victims, moments(0.0, 2.0), strict=True)):
            if number == ROUNDS // 2:
                told_at = world.scene.edit(edited)
                others = [running.enter_context(world.start(part)) for part in (HEADS, HANDS)]
            before = len(world.receiver.told)
            world.push(min(-(-PUSHES // ROUNDS), asked - world.pushes))
            world.scene.push(0)
            if victim != PROJECTOR:
                ready(alive[victim])
            senders += victim == HEADS
            if victim == HEADS and senders % 2:
                eventually(lambda: len(world.receiver.told) > before, "a sender at work", timeout_s=60)  # noqa: B023
                wait_s /= 4
            time.sleep(wait_s)
            unfinished += bool(world.untold())
            world.kill(victim, alive[victim])
            alive[victim] = running.enter_context(world.start(victim))
            if number == ROUNDS // 2 + 1:
                assert [ready(one).terminate() for one in others] == [0, 0]
        assert unfinished > 0, "they died with work to do"
        assert world.whole() == []
        print(f"unfinished at {unfinished} of {ROUNDS} deaths, repeated {len(repeats(world.receiver))}")  # noqa: T201
        assert {part: child.terminate() for part, child in alive.items()} == dict.fromkeys(PARTS, 0)
    assert problems(world.scene, world.receiver, world.settings, world.kills) == []
    assert world.pushes == asked
    assert fires(world.settings) - fired >= PUSHES * PER_PUSH
    assert world.receiver.at(told_at), "the action was edited in mid-run"
    verify_signatures(world.receiver)


def test_the_offsets_of_the_agents_deleted_nobody_hears_twice(world: World) -> None:
    before = len(world.receiver.told)
    world.receiver.on_request = slowly
    with world.start(PROJECTOR), world.start(HEADS) as heads, world.start(HANDS) as hands:
        ready(heads)
        ready(hands)
        world.push()
        assert world.whole() == []
        assert (heads.terminate(), hands.terminate()) == (0, 0)
    told = len(world.receiver.told)
    assert told == before + PER_PUSH, "there is something that could be heard twice"
    assert forget_groups(world.settings, "millstream-h") == 2
    with world.start(PROJECTOR), world.start(HEADS) as heads, world.start(HANDS) as hands:
        ready(heads)
        ready(hands)
        assert world.settle() == []
        assert len(world.receiver.told) == told
        assert (heads.terminate(), hands.terminate()) == (0, 0)


def test_the_checker_sees_positions_that_moved_before_the_outcome(world: World) -> None:
    with world.start(PROJECTOR), world.start(HEADS) as heads:
        ready(heads)
        found = {bug: after_a_death_in_between(world, bug) for bug in ("", faults.POSITIONS_FIRST)}
        assert heads.terminate() == 0
    assert found[""] == []
    assert [problem.split(",")[0] for problem in found[faults.POSITIONS_FIRST]] == [
        f"{PER_PUSH} not told",
        f"{PER_PUSH} not in the history",
    ]


def after_a_death_in_between(world: World, bug: str) -> list[str]:
    """The hands die when they have searched, and nobody was told; what the checker finds after others have gone on."""
    wrong = {faults.DIES_VARIABLE: faults.SEARCHED, faults.BUG_VARIABLE: bug}
    with world.start(HANDS, **wrong) as hands:
        ready(hands)
        world.push()
        assert hands.exit_code(60) == -signal.SIGKILL
    assert world.untold() == PER_PUSH
    with world.start(HANDS) as hands:
        ready(hands)
        world.push()
        eventually(lambda: world.untold() <= (PER_PUSH if bug else 0), "what is to be told", timeout_s=60)
        found = world.settle()
        assert hands.terminate() == 0
    return found
