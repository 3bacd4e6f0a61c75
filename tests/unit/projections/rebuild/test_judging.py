"""What a comparison leads to, as a table."""

import pytest
from msgspec.structs import replace

from projections.rebuild.judging import Found, Outcome, Shown, Wanted, judge

EQUAL = Found(live_generation=3, live_version=1, meant=False, different=0)
BUG = Found(live_generation=3, live_version=1, meant=False, different=2)
MEANT = Found(live_generation=3, live_version=1, meant=True, different=2)
OTHER_TABLES = Found(
    live_generation=3, live_version=1, meant=True, different=0, structure=("t: g4 alone has x",)
)
GRANTS = Found(live_generation=3, live_version=1, meant=False, different=0, security=("select on t",))
CODE_GRANTS = Found(live_generation=3, live_version=1, meant=True, different=0, security=("select on t",))
BY_HAND = Found(
    live_generation=3,
    live_version=1,
    meant=True,
    different=0,
    security=("select on t",),
    changed_by_hand=True,
)
PLAIN = Wanted(swap=True, accept=False, by_a_person=True)
ACCEPTED = Wanted(swap=True, accept=True, by_a_person=True)
BY_ITSELF = Wanted(swap=True, accept=True, by_a_person=False)
NO_SWAP = Wanted(swap=False, accept=False, by_a_person=True)


def shown(different: int, *words: str, live_generation: int = 3) -> Wanted:
    """Somebody has agreed with what was found before."""
    return Wanted(
        swap=True,
        accept=True,
        by_a_person=True,
        shown=Shown(live_generation=live_generation, different=different, words=frozenset(words)),
    )


@pytest.mark.parametrize(
    ("found", "wanted", "outcome", "reason"),
    [
        (EQUAL, PLAIN, Outcome.SWAP, ""),
        (EQUAL, NO_SWAP, Outcome.READY, "equal"),
        (BUG, PLAIN, Outcome.FAIL, "the same fold"),
        (BUG, NO_SWAP, Outcome.FAIL, "the same fold"),
        (BUG, ACCEPTED, Outcome.SWAP, ""),
        (MEANT, PLAIN, Outcome.READY, "version 1 of the fold made"),
        (MEANT, ACCEPTED, Outcome.SWAP, ""),
        (MEANT, BY_ITSELF, Outcome.SWAP, ""),
        (OTHER_TABLES, PLAIN, Outcome.READY, "then accept"),
        (GRANTS, PLAIN, Outcome.FAIL, "select on t"),
        (GRANTS, ACCEPTED, Outcome.FAIL, "select on t"),
        (CODE_GRANTS, PLAIN, Outcome.READY, "who may see what"),
        (CODE_GRANTS, ACCEPTED, Outcome.SWAP, ""),
        (CODE_GRANTS, BY_ITSELF, Outcome.SWAP, ""),
        (BY_HAND, BY_ITSELF, Outcome.READY, "who may see what"),
        (BY_HAND, ACCEPTED, Outcome.SWAP, ""),
        (BUG, shown(2), Outcome.SWAP, ""),
        (BUG, shown(1), Outcome.READY, "2 rows differ from generation 3, and 1 when it was accepted"),
        (EQUAL, shown(1), Outcome.SWAP, ""),
        (MEANT, shown(1), Outcome.SWAP, ""),
        (replace(MEANT, different=300), shown(100), Outcome.SWAP, ""),
        (replace(MEANT, different=301), shown(100), Outcome.READY, "accept again"),
        (
            MEANT,
            shown(2, live_generation=4),
            Outcome.READY,
            "generation 3, and with generation 4 when it was",
        ),
        (BUG, shown(2, live_generation=4), Outcome.READY, "accept again"),
        (EQUAL, shown(2, live_generation=4), Outcome.SWAP, ""),
        (OTHER_TABLES, shown(0, "t: g4 alone has x"), Outcome.SWAP, ""),
        (OTHER_TABLES, shown(0, "t: g4 alone has y"), Outcome.READY, "t: g4 alone has x, which was not so"),
        (BY_HAND, shown(0, "select on t", "and more"), Outcome.SWAP, ""),
        (BY_HAND, shown(0, "update on t"), Outcome.READY, "who may see what"),
    ],
)
def test_every_case(found: Found, wanted: Wanted, outcome: Outcome, reason: str) -> None:
    judgement = judge(found, wanted)
    assert judgement.outcome is outcome
    assert reason in judgement.reason
    assert bool(judgement.reason) == (outcome is not Outcome.SWAP)
