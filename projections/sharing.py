"""Which projections share a process: the interpreter runs one thread at a time, so two that are always busy need two of them.

Pure: the same names and cores give the same groups.
"""

from collections.abc import Sequence
from typing import Final

from schemas.errors import MillstreamError

ALONE: Final = ("series_points", "event_index")
"""Each reads as much as all the others together: one the results with all their points, one every topic."""
PATIENCE: Final = {"event_index": 5}
"""Niceness: when the cores are all taken, what charts and pages show goes before where events are found."""
OTHERS: Final = "others"
"""What the group of all others is called in logs."""


class NothingToRun(MillstreamError):
    """No projection was named."""


Groups = dict[str, tuple[str, ...]]
"""Name of the group -> names of its projections. One group: no process is needed but the present one."""


def groups(names: Sequence[str], cores: int) -> Groups:
    """The projections of each process: together they are ``names``, each once; those that are alone come first.

    One core is not shared better by several processes. Raises NothingToRun.
    """
    if not names:
        raise NothingToRun("there is no projection to run", remedy="Name one, or none for all.")
    found: Groups = {name: (name,) for name in names if name in ALONE and cores > 1}
    if others := tuple(name for name in names if name not in found):
        found[OTHERS if len(others) > 1 else others[0]] = others
    return found
