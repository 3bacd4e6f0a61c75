"""The states of a rebuild as a table: what leads where, and that nothing else does."""

import pytest

from projections.rebuild.machine import ENDED, OPEN, TO_TAKE, TRANSITIONS, RebuildState, Step, after, sources

TABLE = {
    "ORDERED": {"take": "FILLING", "pause": "PAUSED", "cancel": "CANCELLED"},
    "FILLING": {
        "take": "FILLING",
        "filled": "VERIFYING",
        "fail": "FAILED",
        "let_go": "ORDERED",
        "pause": "PAUSED",
        "cancel": "CANCELLED",
    },
    "VERIFYING": {
        "take": "FILLING",
        "verified": "READY",
        "swap": "SWAPPED",
        "fail": "FAILED",
        "let_go": "ORDERED",
        "pause": "PAUSED",
        "cancel": "CANCELLED",
    },
    "PAUSED": {"resume": "ORDERED", "cancel": "CANCELLED"},
    "READY": {"accept": "ORDERED", "cancel": "CANCELLED"},
    "FAILED": {"resume": "ORDERED", "accept": "ORDERED", "cancel": "CANCELLED"},
    "SWAPPED": {},
    "CANCELLED": {},
}


@pytest.mark.parametrize("step", list(Step))
@pytest.mark.parametrize("state", list(RebuildState))
def test_every_step_from_every_state(state: RebuildState, step: Step) -> None:
    wanted = TABLE[state.value].get(step.value)
    assert after(state, step) == (RebuildState(wanted) if wanted is not None else None)


def test_nothing_leads_out_of_an_end_and_every_state_is_reached() -> None:
    assert {state for state, _ in TRANSITIONS}.isdisjoint(ENDED)
    assert set(TRANSITIONS.values()) | {RebuildState.ORDERED} == set(RebuildState)


def test_whoever_dies_at_work_leaves_a_state_that_is_taken_again() -> None:
    assert all(after(state, Step.TAKE) is RebuildState.FILLING for state in TO_TAKE)
    assert TO_TAKE < OPEN
    assert set(sources(Step.SWAP)) == {RebuildState.VERIFYING}, "nothing is swapped that was not compared"
