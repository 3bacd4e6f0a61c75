"""Reads over the insights projection, inside a snapshot (``projections.reading``)."""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Connection, Select, Text, any_, cast, func, select

from projections.insights.fold import GENERATION_METHODS
from projections.insights.tables import INSIGHT_BACKFILL, INSIGHT_SERIES, INSIGHT_VIEW, INSIGHT_VIEW_SERIES
from schemas.events import PatternType, PlanCause, SeriesDefinition, SeriesKind
from schemas.grid import TimeUnit

_KINDS = {method: kind for kind, method in GENERATION_METHODS.items()}
_LIVE = INSIGHT_VIEW.c.created_at.is_not(None) & INSIGHT_VIEW.c.deleted_at.is_(None)


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One insight. ``planned`` says that the whole scope of its backfill is known."""

    id: int
    title: str
    description: str
    creator: str
    created_at: datetime
    created_position: str
    frames: int
    planned: bool
    planned_at: datetime | None


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What a planner needs of one insight."""

    insight_id: int
    creator: str
    created_at: datetime
    frames: int
    series: tuple[SeriesDefinition, ...]


def views(
    connection: Connection,
    first: int | None = None,
    after: int | None = None,
    ids: Collection[int] | None = None,
    find: str | None = None,
    exclude_ids: Collection[int] = (),
) -> list[View]:
    """Insights by id, at most ``first`` of them after that id; ``find`` is a part of a title or a label."""
    where = _matching(ids, find, exclude_ids)
    if after is not None:
        where &= INSIGHT_VIEW.c.id > after
    return _read(connection, select(INSIGHT_VIEW).where(where).order_by(INSIGHT_VIEW.c.id).limit(first))


def count(
    connection: Connection,
    ids: Collection[int] | None = None,
    find: str | None = None,
    exclude_ids: Collection[int] = (),
) -> int:
    """How many insights ``views`` would return without limits."""
    query = select(func.count()).select_from(INSIGHT_VIEW).where(_matching(ids, find, exclude_ids))
    return connection.scalars(query).one()


def view(connection: Connection, insight_id: int) -> View | None:
    """One insight, or None."""
    found = views(connection, ids=[insight_id])
    return found[0] if found else None


def series_of(connection: Connection, ids: Collection[int]) -> dict[int, tuple[SeriesDefinition, ...]]:
    """The lines of each insight in order; every one of ``ids`` has an entry."""
    query = (
        select(
            INSIGHT_VIEW_SERIES.c.insight_view_id,
            INSIGHT_VIEW_SERIES.c.label,
            INSIGHT_VIEW_SERIES.c.stroke,
            INSIGHT_SERIES,
        )
        .join_from(
            INSIGHT_VIEW_SERIES,
            INSIGHT_SERIES,
            INSIGHT_SERIES.c.series_id == INSIGHT_VIEW_SERIES.c.insight_series_id,
        )
        .where(INSIGHT_VIEW_SERIES.c.insight_view_id.in_(list(ids)))
        .order_by(INSIGHT_VIEW_SERIES.c.insight_view_id, INSIGHT_VIEW_SERIES.c.position)
    )
    lines: dict[int, list[SeriesDefinition]] = {identity: [] for identity in ids}
    for row in connection.execute(query).mappings():
        lines[row["insight_view_id"]].append(
            SeriesDefinition(
                series_id=row["series_id"],
                label=row["label"],
                query=row["query"],
                unit=TimeUnit(row["sample_interval_unit"]),
                value=row["sample_interval_value"],
                kind=_KINDS.get(row["generation_method"], SeriesKind.SEARCH),
                pattern_type=PatternType(row["pattern_type"]),
                repositories=row["repositories"],
                criteria=row["repository_criteria"],
                group_by=row["group_by"],
                line_color=row["stroke"],
            )
        )
    return {identity: tuple(series) for identity, series in lines.items()}


class SeriesFacts(msgspec.Struct, frozen=True):
    """All of a series that decides what is counted in a repository."""

    query: str
    unit: TimeUnit
    value: int
    kind: SeriesKind
    pattern_type: PatternType


def facts_of(connection: Connection, series_ids: Collection[str]) -> dict[str, SeriesFacts]:
    """What the known ones of ``series_ids`` are."""
    columns = INSIGHT_SERIES.c
    query = select(
        columns.series_id,
        columns.query,
        columns.sample_interval_unit,
        columns.sample_interval_value,
        columns.generation_method,
        columns.pattern_type,
    ).where(columns.series_id == any_(cast(list(series_ids), ARRAY(Text))))
    return {
        row[0]: SeriesFacts(
            row[1], TimeUnit(row[2]), row[3], _KINDS.get(row[4], SeriesKind.SEARCH), PatternType(row[5])
        )
        for row in connection.execute(query)
    }


def definitions_for_planning(connection: Connection) -> list[Definition]:
    """Every insight that is not deleted, by id."""
    found = views(connection)
    series = series_of(connection, [one.id for one in found])
    return [
        Definition(
            insight_id=one.id,
            creator=one.creator,
            created_at=one.created_at,
            frames=one.frames,
            series=series[one.id],
        )
        for one in found
    ]


def unplanned(connection: Connection, limit: int) -> list[tuple[int, str]]:
    """(id, position of its creation) of insights whose first plan is not whole yet, the oldest first."""
    parts = INSIGHT_BACKFILL.c
    planned = (
        select(parts.insight_id)
        .where(parts.cause == PlanCause.INSIGHT_CREATED.value)
        .group_by(parts.insight_id)
        .having(func.count(parts.part.distinct()) >= func.max(parts.of))
    )
    columns = INSIGHT_VIEW.c
    query = (
        select(columns.id, columns.created_position)
        .where(_LIVE, columns.id.not_in(planned))
        .order_by(columns.created_at, columns.id)
        .limit(limit)
    )
    return [(row.id, row.created_position) for row in connection.execute(query)]


def planned_events(connection: Connection, event_ids: Collection[str]) -> set[str]:
    """Those of ``event_ids`` that are parts of plans."""
    wanted = INSIGHT_BACKFILL.c.event_id == any_(cast(list(event_ids), ARRAY(Text)))
    return set(connection.scalars(select(INSIGHT_BACKFILL.c.event_id).where(wanted)))


def alive(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those of ``ids`` that are insights which nobody has deleted."""
    return set(connection.scalars(select(INSIGHT_VIEW.c.id).where(_LIVE, INSIGHT_VIEW.c.id.in_(list(ids)))))


def _matching(
    ids: Collection[int] | None, find: str | None, exclude_ids: Collection[int]
) -> ColumnElement[bool]:
    where = _LIVE
    if ids is not None:
        where &= INSIGHT_VIEW.c.id.in_(list(ids))
    if exclude_ids:
        where &= INSIGHT_VIEW.c.id.not_in(list(exclude_ids))
    if find:
        labelled = select(INSIGHT_VIEW_SERIES.c.insight_view_id).where(
            INSIGHT_VIEW_SERIES.c.label.icontains(find, autoescape=True)
        )
        where &= INSIGHT_VIEW.c.title.icontains(find, autoescape=True) | INSIGHT_VIEW.c.id.in_(labelled)
    return where


def _read(connection: Connection, query: Select[tuple[object, ...]]) -> list[View]:
    rows: Sequence[View] = [
        View(
            id=row["id"],
            title=row["title"],
            description=row["description"],
            creator=row["creator"],
            created_at=row["created_at"],
            created_position=row["created_position"],
            frames=row["frames"],
            planned=False,
            planned_at=None,
        )
        for row in connection.execute(query).mappings()
    ]
    planned = _planned_at(connection, [row.id for row in rows])
    return [
        msgspec.structs.replace(row, planned=row.id in planned, planned_at=planned.get(row.id))
        for row in rows
    ]


def _planned_at(connection: Connection, ids: Collection[int]) -> dict[int, datetime]:
    parts = INSIGHT_BACKFILL.c
    query = (
        select(parts.insight_id, func.max(parts.planned_at))
        .where(parts.insight_id.in_(list(ids)) & (parts.cause == PlanCause.INSIGHT_CREATED.value))
        .group_by(parts.insight_id)
        .having(func.count(parts.part.distinct()) >= func.max(parts.of))
    )
    return {row[0]: row[1] for row in connection.execute(query)}
