"""``insightAdminBackfillQueue``, and what people may decide about a backfill."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from ariadne import MutationType, QueryType

from api.auth.user import ADMIN_NAME, Means, User
from api.commands.errors import ApiError, Code, InputRefused
from api.graphql import ids
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.operation import Operation
from api.graphql.types.admin import require_creator
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import earlier, event_of, write
from projections.insights import queries as insights
from projections.insights.queries import View
from projections.recordings import queries as recordings
from projections.recordings.queries import Backfill
from projections.series_points import queries as points
from schemas.events import (
    BackfillCancelled,
    BackfillMoved,
    BackfillPaused,
    BackfillResumed,
    BackfillRetried,
    QueueEnd,
    SeriesDefinition,
)
from schemas.registry import Payload

query = QueryType()
mutation = MutationType()

ITEM: Final = "backfillQueueItem"
_CURSOR: Final = "insightAdminBackfillQueue"
_MAXIMUM: Final = 1000
_STATES: Final = ("PROCESSING", "QUEUED", "NEW", "FAILED", "COMPLETED")
"""In the order in which people look at them."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """``BackfillQueueStatus``."""

    state: str
    is_paused: bool
    queue_position: int | None
    cost: int | None
    percent_complete: int | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    errors: Sequence[str]
    runtime: str | None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """``InsightBackfillQueueItem``: line ``place`` of an insight."""

    insight_id: int
    place: int
    insight_view_title: str
    creator: User
    series_label: str
    series_search_query: str
    backfill_queue_status: Status

    @property
    def id(self) -> str:
        return ids.node_id(ITEM, f"{self.insight_id}:{self.place}")

    @property
    def insight_view_id(self) -> str:
        return ids.insight_node_id(self.insight_id)


class QueuePageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``BackfillQueuePageInfo``."""

    start_cursor: str | None
    end_cursor: str | None
    has_next_page: bool
    has_previous_page: bool


class ItemPage(msgspec.Struct, frozen=True, kw_only=True):
    """``InsightBackfillQueueItemConnection``."""

    nodes: Sequence[Item]
    total_count: int
    page_info: QueuePageInfo


@query.field("insightAdminBackfillQueue")
def resolve_queue(
    _: object,
    info: Info,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
    order_by: str | None = "STATE",
    descending: bool | None = False,
    states: list[str] | None = None,
    text_search: str | None = None,
    min_position: list[str] | None = None,
) -> ItemPage:
    operation = operation_of(info)
    views = insights.views(operation.reads.snapshot.connection, find=text_search or None)
    found = [
        one for one in items(operation, views) if states is None or one.backfill_queue_status.state in states
    ]
    found.sort(key=_by_state if order_by != "QUEUE_POSITION" else _by_position, reverse=bool(descending))
    start, end = 0, len(found)
    if after is not None:
        start = _place(found, after, "after") + 1
    if before is not None:
        end = _place(found, before, "before")
    if last is not None:
        start = max(start, end - max(0, min(last, _MAXIMUM)))
    else:
        end = min(end, start + (_MAXIMUM if first is None or first < 0 else min(first, _MAXIMUM)))
    shown = found[start:end]
    return ItemPage(
        nodes=shown,
        total_count=len(found),
        page_info=QueuePageInfo(
            start_cursor=_cursor(shown[0]) if shown else None,
            end_cursor=_cursor(shown[-1]) if shown else None,
            has_next_page=end < len(found),
            has_previous_page=start > 0,
        ),
    )


def _decides(name: str, payload: Callable[[int], Payload]) -> None:
    @mutation.field(name)
    def resolve(_: object, info: Info, id: str) -> Item:  # noqa: A002 - the reference's name
        operation = operation_of(info)
        insight_id, place = insight_and_place(id)
        event = event_of(info, payload(insight_id))
        if earlier(info, event, identity=id) is None:
            before = insights.view(operation.reads.snapshot.connection, insight_id)
            if before is None:
                raise ApiError(Code.NOT_FOUND, "There is no such insight.", field="id", id=id)
            require_creator(info, before.creator)
            write(info, event, identity=id)
        view = insights.view(operation.reads.snapshot.connection, insight_id)
        lines = [] if view is None else items(operation, [view])
        if not lines:
            raise ApiError(Code.NOT_FOUND, "The insight was deleted at the same moment.", field="id", id=id)
        return lines[min(place, len(lines) - 1)]


_decides("retryInsightSeriesBackfill", lambda insight_id: BackfillRetried(insight_id=insight_id))
_decides(
    "moveInsightSeriesBackfillToFrontOfQueue",
    lambda insight_id: BackfillMoved(insight_id=insight_id, to=QueueEnd.FRONT),
)
_decides(
    "moveInsightSeriesBackfillToBackOfQueue",
    lambda insight_id: BackfillMoved(insight_id=insight_id, to=QueueEnd.BACK),
)
_decides("pauseInsightBackfill", lambda insight_id: BackfillPaused(insight_id=insight_id))
_decides("resumeInsightBackfill", lambda insight_id: BackfillResumed(insight_id=insight_id))
_decides("cancelInsightBackfill", lambda insight_id: BackfillCancelled(insight_id=insight_id))


def insight_and_place(text: str, field: str = "id") -> tuple[int, int]:
    """The insight's number and the line's place, of an insight view's id (the first line) or an item's. Raises InputRefused."""
    kind, key = ids.parse_node_id(text, field)
    if kind == ids.INSIGHT:
        return ids.insight_id_of(text, field), 0
    number, _, place = key.partition(":")
    if kind != ITEM or not (number + place).isascii() or not (number.isdigit() and place.isdigit()):
        raise InputRefused(
            field,
            f"{text!r} is no id of this kind",
            remedy="Use the id of an insight view, or of an item of the queue.",
        )
    return int(number), int(place)


def items(operation: Operation, views: Sequence[View]) -> list[Item]:
    """One item for each line of the views, in their order."""
    connection = operation.reads.snapshot.connection
    series = insights.series_of(connection, [view.id for view in views])
    jobs = recordings.backfills(connection, [view.id for view in views])
    positions = recordings.queue_positions(connection)
    cells = points.progress(
        connection,
        {one.series_id for lines in series.values() for one in lines},
        operation.reads.removed,
    )
    found: list[Item] = []
    for view in views:
        for place, line in enumerate(series[view.id]):
            counts = cells.get(line.series_id)
            percent = None
            if counts is not None and counts.planned_cells:
                percent = 100 * counts.done_cells // counts.planned_cells
            mended = counts is not None and not counts.failed_cells and not counts.open_cells
            status = _status(
                view, jobs[view.id], positions.get(view.id), percent, operation.now, mended=mended
            )
            found.append(_item(view, line, place, status))
    return found


def _item(view: View, line: SeriesDefinition, place: int, status: Status) -> Item:
    return Item(
        insight_id=view.id,
        place=place,
        insight_view_title=view.title,
        creator=User(name=view.creator, site_admin=view.creator == ADMIN_NAME, means=Means.PROCESS),
        series_label=line.label,
        series_search_query=line.query,
        backfill_queue_status=status,
    )


def _status(
    view: View,
    jobs: Backfill,
    position: int | None,
    percent: int | None,
    now: datetime,
    *,
    mended: bool,
) -> Status:
    """``mended``: every cell has a value by now, whatever became of the requests that first asked for it."""
    state = state_of(view.planned, jobs)
    if mended and state == "FAILED":
        state = "COMPLETED"
    ended_at = jobs.ended_at if state in ("COMPLETED", "FAILED") else None
    runtime = None if jobs.started_at is None else (ended_at or now) - jobs.started_at
    return Status(
        state=state,
        is_paused=jobs.is_paused,
        queue_position=position,
        cost=min(round(jobs.cost), 2**31 - 1),
        percent_complete=100 if percent is None and state == "COMPLETED" else percent,
        created_at=jobs.created_at or view.planned_at,
        started_at=jobs.started_at,
        completed_at=ended_at,
        errors=[]
        if mended
        else [f"{reason}: {count:,} request{'s' * (count != 1)}" for reason, count in jobs.reasons.items()][
            :20
        ],
        runtime=None if runtime is None else f"{max(0.0, runtime.total_seconds()):.1f}s",
    )


def state_of(planned: bool, jobs: Backfill) -> str:
    """The state of a backfill, in the reference's words."""
    if jobs.pending == 0:
        return "FAILED" if jobs.failed else "COMPLETED" if planned else "NEW"
    return "PROCESSING" if jobs.processing or jobs.completed or jobs.failed else "QUEUED"


def _by_state(item: Item) -> tuple[int, tuple[int, int, int]]:
    return _STATES.index(item.backfill_queue_status.state), _by_position(item)


def _by_position(item: Item) -> tuple[int, int, int]:
    position = item.backfill_queue_status.queue_position
    return 2**31 if position is None else position, item.insight_id, item.place


def _cursor(item: Item) -> str:
    return cursor(_CURSOR, item.insight_id, item.place)


def _place(found: Sequence[Item], text: str, field: str) -> int:
    key = parse_cursor(_CURSOR, text, field)
    for place, item in enumerate(found):
        if [item.insight_id, item.place] == key:
            return place
    raise InputRefused(
        field, "the item of this cursor is in the list no longer", remedy="Begin with the first page."
    )


bindables = [query, mutation]
