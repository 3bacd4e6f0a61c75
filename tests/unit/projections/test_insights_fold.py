"""Insights: what a deletion leaves."""

from projections.changes import Upsert
from projections.insights.fold import fold
from schemas.events import InsightCreated, InsightDeleted, SeriesDefinition
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id
from tests.support.projecting import T0, event, folding, foldings


def created(insight_id: int) -> InsightCreated:
    series = SeriesDefinition(
        series_id=series_id(SeriesIdentity(query="q")), label="q", query="q", unit=TimeUnit.MONTH, value=1
    )
    return InsightCreated(insight_id=insight_id, title="T", creator="admin", created_at=T0, series=[series])


def rows(upserts: list[Upsert], table: str) -> list[dict[str, object]]:
    return [
        dict(zip((*one.keys, *one.columns), row, strict=True))
        for one in upserts
        if one.table == table
        for row in one.rows
    ]


def test_a_deleted_insight_is_a_tombstone_and_its_series_stay() -> None:
    found = fold(foldings([created(7), created(8), InsightDeleted(insight_id=7)]))
    views = {row["id"]: row.get("deleted_at") for row in rows(found, "insight_view")}
    assert views[8] is None
    assert views[7] == foldings([created(7)] * 3)[2].event.time
    assert len(rows(found, "insight_series")) == 1
    assert len(rows(found, "insight_view_series")) == 2


def test_a_deletion_alone_in_its_batch_touches_nothing_but_the_date() -> None:
    said = event(InsightDeleted(insight_id=7), at=5)
    assert rows(fold([folding(said, 3)]), "insight_view") == [{"id": 7, "deleted_at": said.time}]
