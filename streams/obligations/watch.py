"""When something owed is overdue. Pure: what is open, what was passed and the time come in."""

from collections.abc import Iterable, Mapping

import msgspec

from streams.obligations.obligation import Key, Owed

Vector = Mapping[tuple[str, int], int]
"""Next offsets by (topic, partition)."""


class Watch(msgspec.Struct):
    """What one process has seen of one obligation. Another leader begins anew: later, never too early."""

    passed_at_s: dict[Key, float] = msgspec.field(default_factory=dict)
    """When each open attempt was first seen behind the offsets of its group."""
    met: set[Key] = msgspec.field(default_factory=set)
    """Those of which a costly look has said that they are not owed any more."""
    ends: Vector | None = None
    """Ends of the closing topics, read after a deadline; until the projections have passed them nothing is said."""
    asked: frozenset[Key] = frozenset()
    """Those that were late when ``ends`` were read: of others these ends say nothing."""

    def ask(self, late: Iterable[Owed], ends: Vector) -> None:
        """``ends`` were read after the deadlines of ``late``."""
        self.ends, self.asked = ends, frozenset(one.key for one in late)

    def answered(self) -> None:
        """The projections have passed the ends, or nothing is late any more: the next look reads new ones."""
        self.ends, self.asked = None, frozenset()

    def late(self, open_now: Iterable[Owed], passed: Vector, now_s: float, deadline_s: float) -> list[Owed]:
        """Those whose attempt was passed ``deadline_s`` ago or longer, the longest first."""
        still: dict[Key, float] = {}
        late: list[Owed] = []
        owed = list(open_now)
        self.met &= {one.key for one in owed}
        for one in owed:
            if one.key in self.met:
                continue
            at = (one.opened.topic, one.opened.partition)
            if one.key not in self.passed_at_s and passed.get(at, 0) <= one.opened.offset:
                continue  # the agent has it before it: a backlog is no failure
            since_s = still[one.key] = self.passed_at_s.get(one.key, now_s)
            if now_s - since_s >= deadline_s:
                late.append(one)
        self.passed_at_s = still
        return sorted(late, key=lambda one: still[one.key])
