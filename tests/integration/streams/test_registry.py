"""The registry of obligations against the agents that there are: nobody owes nothing, and nobody owes who is not there."""

import asyncio
from collections.abc import Collection

import pytest

from infra.settings import Settings
from infra.topics import HANDS_APP, HEADS_APP
from schemas.events import ObligationRenewed
from schemas.registry import REGISTRY
from streams.agent import AgentSpec, Timer
from streams.hands import hands
from streams.heads import heads
from streams.obligations.names import Owing
from streams.obligations.registry import OBLIGATIONS, STANDING
from streams.slots import Slot
from tests.unit.streams.events import RecordingContext


@pytest.fixture(scope="module")
def app_agents(settings: Settings) -> dict[str, tuple[Collection[AgentSpec], Collection[Timer]]]:
    """What the two apps run."""

    async def found() -> dict[str, tuple[Collection[AgentSpec], Collection[Timer]]]:
        context = RecordingContext()
        slots = {app: Slot.take(settings, app) for app in (HANDS_APP, HEADS_APP)}
        try:
            head = heads(settings, slots[HEADS_APP], context, lambda: True)
            hand = hands(settings, slots[HANDS_APP], context, 8, dict)
            return {HEADS_APP: (head.agents, head.timers), HANDS_APP: (hand.agents, hand.timers)}
        finally:
            for slot in slots.values():
                slot.close()

    return asyncio.run(found())


def test_every_agent_and_timer_is_in_an_obligation_and_every_obligation_has_its_agents(
    app_agents: dict[str, tuple[Collection[AgentSpec], Collection[Timer]]],
) -> None:
    there = {one.name for agents, _ in app_agents.values() for one in agents}
    there |= {one.name for _, timers in app_agents.values() for one in timers}
    named = [name for one in OBLIGATIONS for name in one.agents]
    named += [name for one in STANDING for name in one.agents]
    assert there - set(named) == set(), "add what it owes to streams/obligations/registry.py"
    assert set(named) - there == set(), "nobody of this name is there to owe it"
    assert len(named) == len(set(named))


def test_who_owes_reads_what_opens_it_and_what_renews_it_in_the_group_that_is_asked(
    app_agents: dict[str, tuple[Collection[AgentSpec], Collection[Timer]]],
) -> None:
    for obligation in OBLIGATIONS:
        agents = {one.name: one for one in app_agents[obligation.group][0]}
        for name in obligation.agents:
            assert obligation.opening in agents[name].types
            # A request is dispatched anew by who reads the jobs, not by its handler.
            assert (ObligationRenewed in agents[name].types) is (obligation.name != Owing.RECORDING_COUNT)
        renewed_topics = {
            topic for one in REGISTRY if "obligation.renewed" in one.name for topic in one.topics
        }
        assert obligation.topic in renewed_topics
        assert obligation.attempts >= 2, "asked for again at least once"
        assert set(obligation.closing), "something tells of the outcome"
