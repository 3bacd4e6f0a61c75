"""``InsightView.backfillQueueStatus``: what the queue of backfills says of one insight, for those who look at it."""

from api.graphql.types.backfills import Status, items
from api.graphql.types.info import Info, operation_of
from api.graphql.types.insights import ViewSource, view_type


@view_type.field("backfillQueueStatus")
def resolve_backfill(view: ViewSource, info: Info) -> Status | None:
    """The same for every line: they are counted together."""
    lines = items(operation_of(info), [view.row])
    return lines[0].backfill_queue_status if lines else None


bindables: tuple[()] = ()
"""None of its own: the field stands at the type of insight views."""
