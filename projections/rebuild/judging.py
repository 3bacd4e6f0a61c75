"""What a comparison leads to: the swap, a wait for somebody, or the end. Pure."""

from enum import Enum
from typing import Final

import msgspec


class Outcome(Enum):
    """What to do with a generation that was compared."""

    SWAP = "swap"
    READY = "ready"
    """Leave it as it is: it was not to be swapped, or somebody has to agree first."""
    FAIL = "fail"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison found. ``meant``: the live generation has another fold or other tables, so differences may be meant.

    ``structure``: tables or columns that one of both lacks, and ``security``: how who may see what differs, in words;
    ``changed_by_hand``: the live generation is not protected as it was made.
    """

    live_generation: int
    live_version: int
    meant: bool
    different: int
    structure: tuple[str, ...] = ()
    security: tuple[str, ...] = ()
    changed_by_hand: bool = False


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What stood before whoever accepted: how many rows differed from the live generation of that time, and all that was said
    of protection, tables and columns, among other words."""

    live_generation: int
    different: int
    words: frozenset[str]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered. ``by_a_person``: a person ordered it, or has agreed with what was found.

    ``shown``: what the agreement was about; None: it was given beforehand, to whatever would be found.
    """

    swap: bool
    accept: bool
    by_a_person: bool
    shown: Shown | None = None


class Judgement(msgspec.Struct, frozen=True):
    """The outcome with its reason, and what to do."""

    outcome: Outcome
    reason: str = ""
    remedy: str = ""


_EQUAL: Final = Judgement(Outcome.READY, "filled and compared: equal")
_GROWN: Final = 2
_FEW: Final = 100
_PROTECTED: Final = "who may see what is not as in the live generation: see the differences, then accept"


def judge(found: Found, wanted: Wanted) -> Judgement:
    """Protection first: what would show rows to others is never swapped in unnoticed."""
    if found.security and not found.meant:
        return Judgement(
            Outcome.FAIL,
            f"row security, policies or grants differ from the live generation's: {found.security[0]}",
            "Make them equal by hand, then resume the rebuild.",
        )
    shown = wanted.shown
    if found.security and (
        not wanted.accept
        or (found.changed_by_hand and not wanted.by_a_person)
        or (shown is not None and not shown.words.issuperset(found.security))
    ):
        return Judgement(Outcome.READY, _PROTECTED)
    equal = not found.different and not found.structure
    if not equal and not wanted.accept:
        rows = f"{found.different:,} rows differ from generation {found.live_generation}"
        if found.meant:
            made = f"version {found.live_version} of the fold made"
            return Judgement(Outcome.READY, f"{rows}, which {made}: see the differences, then accept")
        return Judgement(
            Outcome.FAIL,
            f"{rows}, and both have the same fold: one of them is not what the log says",
            "Find out which (millstream verify); accept the new one only then.",
        )
    if shown is not None and not equal and (unseen := _unseen(found, shown)):
        return Judgement(Outcome.READY, f"{unseen}: see the differences, then accept again")
    if not wanted.swap:
        return _EQUAL if equal else Judgement(Outcome.READY, "filled, compared and accepted")
    return Judgement(Outcome.SWAP)


def _unseen(found: Found, shown: Shown) -> str:
    """What differs beyond what was shown, in words; empty where nothing does."""
    if shown.live_generation != found.live_generation:
        return (
            f"it was compared with generation {found.live_generation}, "
            f"and with generation {shown.live_generation} when it was accepted"
        )
    new = next((one for one in found.structure if one not in shown.words), None)
    if new is not None:
        return f"{new}, which was not so when it was accepted"
    if found.different > _most(found, shown.different):
        return (
            f"{found.different:,} rows differ from generation {found.live_generation}, "
            f"and {shown.different:,} when it was accepted"
        )
    return ""


def _most(found: Found, shown: int) -> int:
    """Rows that may differ where so many were accepted. With the same fold none should; what differs because the fold does, grows
    with every event that arrives until the agreement."""
    return _GROWN * shown + _FEW if found.meant else shown
