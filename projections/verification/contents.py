"""What of a generation is compared: its declared columns, and of the runner's own tables what the log alone decides."""

from collections.abc import Collection, Mapping, Set
from typing import Final

import msgspec
from sqlalchemy import String, Table

from projections.projection import Projection
from projections.runner import tables as housekeeping

Partition = tuple[str, int]
"""(topic, partition)."""

NOT_OF_THE_LOG: Final[Mapping[str, frozenset[str]]] = {
    "checkpoints": frozenset(("epoch", "applied_at", "state", "state_reason")),
    # The words of a decoder, which another build of the same fold may have corrected.
    "dead_letters": frozenset(("reason", "path")),
    # A record may be ordered to be dropped twice.
    "dropped": frozenset(("ordered",)),
    # An error's words may speak of the batch in which it came.
    "quarantine": frozenset(("reason", "trace")),
}
"""Columns of the runner's tables that differ between two replays of one log."""
_OUT: Final = frozenset(("generation", "orders", "carried_out"))
"""What became of an order, and when, is no part of what the log says: what was dropped is."""
_RECORD: Final = frozenset(("topic", "partition", "offset"))


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One table's part of the comparison; ``query`` has the schema's name to be filled in."""

    table: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    query: str
    order: str

    def of(self, schema: str) -> str:
        """The statement that gives the rows of one generation, in the order of their keys."""
        return f"{self.unordered(schema)} order by {self.order}"

    def unordered(self, schema: str) -> str:
        """The same rows as they come."""
        return self.query.format(schema=schema)


def contents(
    projection: Projection,
    passed: Mapping[Partition, int],
    starts: Mapping[Partition, int],
    there: Mapping[str, Set[str]] | None = None,
    stale: Collection[int] = (),
) -> list[Content]:
    """Every table, the projection's own first.

    ``passed`` are the partitions that are replayed. ``starts`` are the log starts of partitions that have lost
    records: rows that name the record they came from count while the log holds that record. ``there``: the columns of
    each table of a generation that another build has made; what is not among them is left out. ``stale``: keys whose derived
    rows are not compared, because one of both has not derived them yet.
    """
    own = [
        _content(
            table,
            projection.bookkeeping.get(table.name, frozenset()),
            " and ".join(filter(None, (_still_there(table, starts), _not_stale(projection, table, stale)))),
            there,
        )
        for table in projection.metadata.sorted_tables
        if _comparable(table, there)
    ]
    runner = [
        _content(
            table,
            NOT_OF_THE_LOG.get(table.name, frozenset()),
            _replayed(passed) if table.name == "checkpoints" else _still_there(table, starts),
            there,
        )
        for table in housekeeping.METADATA.sorted_tables
        if table.name not in _OUT and _comparable(table, there)
    ]
    return own + runner


def _comparable(table: Table, there: Mapping[str, Set[str]] | None) -> bool:
    keys = {column.name for column in table.primary_key}
    return there is None or keys <= there.get(table.name, frozenset())


def _content(
    table: Table, out: frozenset[str], condition: str, there: Mapping[str, Set[str]] | None
) -> Content:
    keys = tuple(column.name for column in table.primary_key)
    columns = tuple(
        column.name
        for column in table.columns
        if column.name not in out
        and column.name not in keys
        and (there is None or column.name in there[table.name])
    )
    conditions = [condition] if condition else []
    if out and columns and table.metadata is not housekeeping.METADATA:
        # A row of which only bookkeeping speaks was begun by a record that may have expired.
        conditions.append(f"num_nonnulls({', '.join(map(_quoted, columns))}) > 0")
    where = f" where {' and '.join(conditions)}" if conditions else ""
    order = ", ".join(
        f'{_quoted(name)} collate "C"' if isinstance(table.c[name].type, String) else _quoted(name)
        for name in keys
    )
    selected = ", ".join(map(_quoted, keys + columns))
    return Content(
        table=table.name,
        keys=keys,
        columns=columns,
        query=f'select {selected} from "{{schema}}".{_quoted(table.name)}{where}',
        order=order,
    )


def _still_there(table: Table, starts: Mapping[Partition, int]) -> str:
    if not starts or not set(table.c.keys()) >= _RECORD:
        return ""
    gone = " or ".join(
        f"(topic = '{topic}' and partition = {partition} and \"offset\" < {start})"
        for (topic, partition), start in sorted(starts.items())
    )
    return f"not ({gone})"


def _not_stale(projection: Projection, table: Table, stale: Collection[int]) -> str:
    one = projection.derive
    if one is None or table.name not in one.tables or not stale:
        return ""
    return f"{_quoted(one.key)} not in ({', '.join(map(str, sorted(stale)))})"


def _replayed(passed: Mapping[Partition, int]) -> str:
    places = ", ".join(f"('{topic}', {partition})" for topic, partition in sorted(passed))
    return f"(topic, partition) in ({places})" if places else "false"


def _quoted(name: str) -> str:
    return f'"{name}"'
