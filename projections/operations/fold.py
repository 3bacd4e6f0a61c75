"""Events of the operations topic into decisions, and the orders that they hold."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Rule, SparseTable, Upsert, Value, upserts
from projections.folding import Folding
from schemas.operations.events import DropOrdered, GenerationSwapped, RebuildOrdered, RedriveOrdered

REDRIVE: Final = "redrive"
DROP: Final = "drop"
REBUILD: Final = "rebuild"
SWAP: Final = "swap"


def _first(*columns: str) -> Mapping[str, Rule]:
    return dict.fromkeys(columns, Keep.FIRST)


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change: each decision is its own, said once."""
    decisions = SparseTable(
        "decisions",
        ("position",),
        _first(
            "kind",
            "projection",
            "reason",
            "ordered_by",
            "ordered_at",
            "dry_run",
            "items",
            "from_generation",
            "to_generation",
            "until",
            "differences",
        ),
    )
    redrives = SparseTable(
        "redrives",
        ("position", "place"),
        _first("projection", "topic", "partition", "aggregate", "dry_run"),
    )
    drops = SparseTable(
        "drops",
        ("position", "place"),
        _first("projection", "topic", "partition", "offset", "reason", "ordered_by", "ordered_at"),
    )
    for one in events:
        at = one.position.offset
        match one.event.data:
            case RedriveOrdered() as data:
                _decided(decisions, one, data, REDRIVE, dry_run=data.dry_run, items=len(data.aggregates))
                for place, aggregate in enumerate(data.aggregates):
                    redrives.set(
                        (at, place),
                        projection=data.projection,
                        topic=aggregate.topic,
                        partition=aggregate.partition,
                        aggregate=aggregate.aggregate,
                        dry_run=data.dry_run,
                    )
            case DropOrdered() as data:
                _decided(decisions, one, data, DROP, dry_run=False, items=len(data.records))
                for place, record in enumerate(data.records):
                    drops.set(
                        (at, place),
                        projection=data.projection,
                        topic=record.topic,
                        partition=record.partition,
                        offset=record.offset,
                        reason=data.reason,
                        ordered_by=data.ordered_by,
                        ordered_at=one.event.time,
                    )
            case RebuildOrdered() as data:
                _decided(
                    decisions,
                    one,
                    data,
                    REBUILD,
                    dry_run=False,
                    to_generation=data.generation,
                    until=data.until,
                )
            case GenerationSwapped() as data:
                _decided(
                    decisions,
                    one,
                    data,
                    SWAP,
                    dry_run=False,
                    from_generation=data.from_generation,
                    to_generation=data.to_generation,
                    differences=data.differences,
                )
            case _:
                pass
    return upserts((decisions, redrives, drops))


def _decided(
    decisions: SparseTable,
    one: Folding,
    data: RedriveOrdered | DropOrdered | RebuildOrdered | GenerationSwapped,
    kind: str,
    **columns: Value,
) -> None:
    decisions.set(
        (one.position.offset,),
        kind=kind,
        projection=data.projection,
        reason=data.reason,
        ordered_by=data.ordered_by,
        ordered_at=one.event.time,
        **columns,
    )
