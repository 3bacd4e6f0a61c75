"""From frames to commits: what the branch was at each instant (DESIGN section 7, Frames)."""

import math
import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import NamedTuple

from streams.search.git.command import Git
from streams.search.git.state import shallow_boundary
from streams.search.protocol import Reason

_BLOCK_BYTES = 1 << 16


class Frames(NamedTuple):
    """``commits``: distinct, newest first, as the walk met them. ``slot_of``: instant -> index into ``commits``.

    An instant without a slot has no commit; ``unresolved`` says why that is no plain "before the first commit".
    """

    commits: tuple[str, ...]
    slot_of: dict[datetime, int]
    unresolved: Reason | None


def resolve(
    git: Git,
    tip: str | None,
    instants: Collection[datetime],
    deadline: float | None,
    on_newest: Callable[[str], None],
) -> Frames:
    """The first commit, walking first parents from ``tip``, whose committer time is not after each instant.

    The same as ``git rev-list -1 --first-parent --min-age=<seconds> BRANCH`` for each, in one walk that ends early.
    Past ``deadline`` (monotonic) the walk is given up. ``on_newest`` is called once, with the commit of slot 0, as
    soon as it is known.
    """
    if tip is None or not instants:
        return Frames((), {}, None)
    pending = sorted(set(instants))
    commits: list[str] = []
    slot_of: dict[datetime, int] = {}
    last = tip
    with git.start(["rev-list", "--first-parent", "--timestamp", tip]) as walk:
        rest = b""
        while pending and (block := walk.stdout.read1(_BLOCK_BYTES)):
            if deadline is not None and time.monotonic() > deadline:
                return Frames(tuple(commits), slot_of, "timeout")
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            for line in lines:
                seconds, _, commit = line.partition(b" ")
                if pending and int(seconds) <= math.floor(pending[-1].timestamp()):
                    slot = len(commits)
                    commits.append(commit.decode())
                    while pending and int(seconds) <= math.floor(pending[-1].timestamp()):
                        slot_of[pending.pop()] = slot
                    if slot == 0:
                        on_newest(commits[0])
            if lines:
                last = lines[-1].partition(b" ")[2].decode()
        if not pending:
            return Frames(tuple(commits), slot_of, None)
        whole = walk.ended_well()
    if not whole:
        return Frames(tuple(commits), slot_of, "missing-object")
    return Frames(tuple(commits), slot_of, "shallow" if last in shallow_boundary(git) else None)
