"""The rules that keep Faust harmless, each seen on a real broker (DESIGN section 6)."""

import time

import psutil

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.settings import Settings
from infra.topics import HANDS_APP, HEADS_APP, all_topics, apply, leader_topic
from schemas.envelope import Position
from schemas.topics import Topic
from tests.integration.streams.children import Child, start_probe
from tests.integration.streams.probe import Probe, ProbeAgent
from tests.support.system import eventually
from tests.unit.streams.events import carried, created, definition, dispatched, event, registered, request

WINDOW_S = 6.0
INSIGHTS_AGENT = ProbeAgent("insights", (Topic.INSIGHTS,))


def probe(
    settings: Settings, app_id: str, *agents: ProbeAgent, number: int = 0, ticks: bool = False
) -> Child:
    return start_probe(
        Probe(
            app_id=app_id,
            bootstrap=settings.kafka_bootstrap,
            instance_id=f"{app_id}-{number}",
            agents=agents,
            partitions=settings.partitions,
            ticks=ticks,
        ),
        settings.home,
    )


def leader_timer_fires(settings: Settings, app_id: str) -> bool:
    """Whether a leader timer of this app ticks within the window that begins when its agent has worked."""
    with probe(settings, app_id, INSIGHTS_AGENT, ticks=True) as child:
        began = child.wait_for(lambda _: child.of_kind("batch"), "the agent to work")[0]["at"]
        while time.time() < began + WINDOW_S:
            if child.of_kind("tick"):
                return True
            time.sleep(0.05)
        return False


def test_a_leader_timer_fires_only_because_its_topic_is_in_the_list(
    settings: Settings, admin: KafkaAdmin, publisher: Publisher
) -> None:
    publisher.publish([event(created(1, [definition()]))])
    assert leader_timer_fires(settings, HEADS_APP), "on a fresh cluster, set up from the list"

    # The other app has never run: a static member that had the topic would get its old assignment back.
    taken = leader_topic(HANDS_APP)
    admin.delete_topics([taken])
    eventually(lambda: taken not in admin.topics(), "the topic to be gone")
    apply(admin, [spec for spec in all_topics(settings.partitions) if spec.name != taken])
    assert not leader_timer_fires(settings, HANDS_APP), "the same, its topic taken from the list"
    apply(admin, all_topics(settings.partitions))


def test_a_bug_ends_the_process_and_the_failing_batch_comes_again(
    settings: Settings, admin: KafkaAdmin, publisher: Publisher
) -> None:
    positions = publisher.publish([event(registered(number)) for number in range(400)])
    app_id = "test-bug"

    def agent(bug_at: int) -> ProbeAgent:
        return ProbeAgent("faulty", (Topic.REPOSITORIES,), max_batch=50, bug_at=bug_at)

    with probe(settings, app_id, agent(bug_at=201)) as child:
        assert child.exit_code(30) == 70
        batches = [[Position.parse(text) for text in line["positions"]] for line in child.of_kind("batch")]
        said = "".join(child.text)
    assert "a bug made for the test" in said
    assert "most recent call first" in said, "the stacks of all threads are shown"
    failing = batches[-1]
    committed = admin.group_offsets(app_id)
    for position in failing:
        assert committed.get((position.topic, position.partition), 0) <= position.offset

    with probe(settings, app_id, agent(bug_at=0)) as child:

        def second_run() -> set[Position]:
            return {Position.parse(text) for line in child.of_kind("batch") for text in line["positions"]}

        before = {position for batch in batches[:-1] for position in batch}
        child.wait_for(lambda _: before | second_run() >= set(positions), "every event to be handled")
        assert second_run() >= set(failing), "the failing batch came again"
        assert child.terminate() == 0
    assert admin.group_offsets(app_id) == {
        (Topic.REPOSITORIES, number): marks.end
        for number, marks in admin.watermarks(Topic.REPOSITORIES).items()
        if marks.end
    }, "an orderly end commits all that was handled"


def test_one_blocked_agent_does_not_delay_another(settings: Settings, publisher: Publisher) -> None:
    block_s, backlog, urgent = 8.0, 12_000, 40
    publisher.publish([event(registered(number)) for number in range(backlog)])
    agents = (
        ProbeAgent("blocked", (Topic.REPOSITORIES,), block_s=block_s),
        ProbeAgent("urgent", (Topic.WORK_INTERACTIVE,)),
    )
    with probe(settings, HANDS_APP, *agents) as child:
        child.wait_for(lambda _: child.of_kind("batch"), "the blocked agent to begin")
        began = time.time()
        for number in range(urgent):
            publisher.publish([event(carried([dispatched(request(number))]))], Topic.WORK_INTERACTIVE)

        def delays() -> list[float]:
            return [
                line["at"] - appended
                for line in child.of_kind("batch")
                if line["agent"] == "urgent"
                for appended in line["appended"]
            ]

        child.wait_for(
            lambda _: len(delays()) >= urgent, "the urgent agent to get its events", timeout_s=5 * block_s
        )
        blocked = [line["at"] for line in child.of_kind("batch") if line["agent"] == "blocked"]
    assert blocked[0] <= began
    assert max(delays()) < block_s / 2, "not even half of one block; with one buffer full it would be several"


def test_nothing_is_listened_on(settings: Settings) -> None:
    with probe(settings, HANDS_APP, INSIGHTS_AGENT) as child:
        child.wait_for(lambda _: child.of_kind("ready"), "the app to be ready")
        found = psutil.Process(child.pid).net_connections()
    assert found, "it talks to the broker"
    assert [one for one in found if one.status == psutil.CONN_LISTEN] == []
    assert {one.raddr.ip for one in found if one.raddr} <= {"127.0.0.1", "::1"}


def test_partition_n_of_all_topics_of_a_repository_is_one_members(settings: Settings) -> None:
    topics = (Topic.REPOSITORIES, Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND)
    agents = [ProbeAgent(topic.value, (topic,)) for topic in topics]

    def owned(child: Child) -> dict[str, list[int]]:
        lines = child.of_kind("assigned")
        found: dict[str, list[int]] = lines[-1]["partitions"] if lines else {}
        return found

    def settled(children: list[Child]) -> bool:
        shares = [owned(child) for child in children]
        together = all(
            share.get(topics[0]) and share[topics[0]] == share.get(topics[1]) == share.get(topics[2])
            for share in shares
        )
        return together and sorted(n for share in shares for n in share[topics[0]]) == list(
            range(settings.partitions)
        )

    with (
        probe(settings, "test-three", *agents, number=0) as first,
        probe(settings, "test-three", *agents, number=1) as second,
        probe(settings, "test-three", *agents, number=2) as third,
    ):
        eventually(
            lambda: settled([first, second, third]), "three members to share the partitions", timeout_s=40
        )
        killed_at = time.time()
        second.kill()
        eventually(lambda: settled([first, third]), "the others to take over", timeout_s=30)
        assert time.time() - killed_at < 20, "a few seconds after the session of six"
