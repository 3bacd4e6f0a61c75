"""Events of the insights topic into views, series and plans."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Rule, SparseTable, Upsert, upserts
from projections.folding import Folding
from schemas.envelope import Event
from schemas.events import BackfillPlanned, InsightCreated, InsightDeleted, SeriesKind

GENERATION_METHODS: Final = {SeriesKind.SEARCH: "search", SeriesKind.CAPTURE: "search-compute"}
"""Series kinds as the column ``generation_method`` spells them."""


def _first(*columns: str) -> Mapping[str, Rule]:
    return dict.fromkeys(columns, Keep.FIRST)


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change. An insight is what its first event said; a repeat changes nothing, a deletion hides it."""
    views = SparseTable(
        "insight_view",
        ("id",),
        _first("title", "description", "creator", "created_at", "created_position", "frames", "deleted_at"),
    )
    series = SparseTable(
        "insight_series",
        ("series_id",),
        _first(
            "query",
            "sample_interval_unit",
            "sample_interval_value",
            "generation_method",
            "pattern_type",
            "repositories",
            "repository_criteria",
            "group_by",
            "created_at",
        ),
    )
    lines = SparseTable(
        "insight_view_series",
        ("insight_view_id", "position"),
        _first("insight_series_id", "label", "stroke"),
    )
    plans = SparseTable(
        "insight_backfill", ("insight_id", "event_id"), _first("cause", "part", "of", "planned_at")
    )
    for folding in events:
        match folding.event.data:
            case InsightCreated() as data:
                _created(data, str(folding.position), views, series, lines)
            case InsightDeleted() as data:
                # A tombstone: lines and series stay, since other insights may draw the same series.
                views.set((data.insight_id,), deleted_at=folding.event.time)
            case BackfillPlanned() as data:
                _planned(data, folding.event, plans)
            case _:
                pass
    return upserts((views, series, lines, plans))


def _created(
    data: InsightCreated, position: str, views: SparseTable, series: SparseTable, lines: SparseTable
) -> None:
    views.set(
        (data.insight_id,),
        title=data.title,
        description=data.description,
        creator=data.creator,
        created_at=data.created_at,
        created_position=position,
        frames=data.frames,
    )
    for place, definition in enumerate(data.series):
        series.set(
            (definition.series_id,),
            query=definition.query,
            sample_interval_unit=definition.unit.value,
            sample_interval_value=definition.value,
            generation_method=GENERATION_METHODS[definition.kind],
            pattern_type=definition.pattern_type.value,
            repositories=None if definition.repositories is None else sorted(set(definition.repositories)),
            repository_criteria=definition.criteria,
            group_by=definition.group_by,
            created_at=data.created_at,
        )
        lines.set(
            (data.insight_id, place),
            insight_series_id=definition.series_id,
            label=definition.label,
            stroke=definition.line_color,
        )


def _planned(data: BackfillPlanned, event: Event, plans: SparseTable) -> None:
    plans.set(
        (data.insight_id, event.id), cause=data.cause.value, part=data.part, of=data.of, planned_at=event.time
    )
