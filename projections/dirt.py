"""Which keys of a projection have changed since its derive step saw them: a table of tokens, and marks in it (DESIGN section 7).

A key is stale when ``dirty_token > update_token``. The dirty token follows from the newest marking record of each topic: it
grows with every mark, does not depend on how the log was cut into batches, and no two topics write one column.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Computed, DateTime, Index, MetaData, Table

from projections.changes import Keep, Rule, SparseTable, Value
from projections.folding import Folding
from schemas.topics import Topic

BOOKKEEPING: Final = frozenset(("update_token", "updated_at", "set_dirty_at"))
"""Columns that say how far the derive step is: when it ran is no part of what the log says."""


def dirty_table(name: str, metadata: MetaData, key: str, topics: Sequence[Topic]) -> Table:
    """One row for each key that was ever marked by an event of ``topics``."""
    offsets = [_column(topic, "next") for topic in topics]
    times = [_column(topic, "at") for topic in topics]
    return Table(
        name,
        metadata,
        Column(key, BigInteger, primary_key=True, autoincrement=False),
        *(Column(one, BigInteger, comment="offset behind the newest mark") for one in offsets),
        *(Column(one, DateTime(timezone=True), comment="its append time") for one in times),
        Column(
            "dirty_token",
            BigInteger,
            Computed(" + ".join(f"coalesce({one}, 0)" for one in offsets), persisted=True),
        ),
        Column(
            "dirtied_at",
            DateTime(timezone=True),
            Computed(f"greatest({', '.join(times)})", persisted=True),
            comment="append time of the newest mark",
        ),
        Column(
            "update_token",
            BigInteger,
            nullable=False,
            server_default="0",
            comment="as the derive step read it",
        ),
        Column("updated_at", DateTime(timezone=True), comment="append time of the newest mark that it saw"),
        Column("set_dirty_at", DateTime(timezone=True), comment="append time of the mark that made it stale"),
        Index(f"{name}_stale", "set_dirty_at", postgresql_where="dirty_token > update_token"),
        comment="Which keys the derived tables do not show yet: dirty_token > update_token",
    )


class Marks:
    """Collects a batch's marks."""

    def __init__(self, table: str, key: str, topics: Sequence[Topic]) -> None:
        rules: Mapping[str, Rule] = {
            **{_column(topic, what): Keep.LAST for topic in topics for what in ("next", "at")},
            "set_dirty_at": Keep.FIRST,
        }
        self.rows: Final = SparseTable(table, (key,), rules)

    def mark(self, key: Value, folding: Folding) -> None:
        """``key`` has changed by this event."""
        topic = Topic(folding.position.topic)
        columns: dict[str, Value] = {
            _column(topic, "next"): folding.position.offset + 1,
            _column(topic, "at"): folding.appended_at,
            "set_dirty_at": folding.appended_at,
        }
        self.rows.set((key,), **columns)


def _column(topic: Topic, what: str) -> str:
    return f"{topic.value.removeprefix('millstream.').replace('.', '_')}_{what}"
