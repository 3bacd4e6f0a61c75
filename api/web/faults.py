"""Which repositories make a chart incomplete, and why: one sentence for each reason, with their names. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from api.reasons import Reasons
from api.web.drawing import Cells
from api.web.model import Insight

NAMED: Final = 5
"""Of more repositories with one reason, so many are named."""
_ONLY_TIME: Final = frozenset({"pending", "not-counted", ""})


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``repositories`` (the first by name) and ``more`` others ``words``: "could not be cloned"."""

    words: str
    repositories: tuple[str, ...]
    more: int = 0
    mends: bool = False
    """Whether it is over once they can be cloned."""


def faults(insight: Insight, cells: Cells) -> Sequence[Fault]:
    """Of the cells at hand. What is only not counted yet is nobody's fault while it is being counted."""
    about: dict[str, set[str]] = {}
    for found in cells.values():
        for cell in found:
            if not cell.complete:
                about.setdefault(cell.reason_code.partition(":")[0].strip(), set()).add(cell.repository)
    blamed = {name for code, names in about.items() if code not in _ONLY_TIME for name in names}
    said: list[Fault] = []
    for code, names in sorted(about.items()):
        if code in _ONLY_TIME:
            names = set() if insight.loading else names - blamed
        if names:
            shown = sorted(names)[:NAMED]
            said.append(
                Fault(
                    words=Reasons.of_repositories(code),
                    repositories=tuple(shown),
                    more=len(names) - len(shown),
                    mends=code in Reasons.CLONING,
                )
            )
    return said
