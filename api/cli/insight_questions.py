"""What commands ask about insights, and the answers as typed values."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from api.cli.client import Client
from schemas.errors import MillstreamError

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_NODE: Final = """
fragment Shown on InsightView {
  id databaseID title isLoadingData
  dataSeriesDefinitions { ... on SearchInsightDataSeriesDefinition { seriesId } }
  dataSeries {
    seriesId label query times values complete
    status { plannedCells doneCells }
    perRepository { repository { name } points { dateTime value complete reason } }
  }
}
"""
_EVERYTHING: Final = "seriesDisplayOptions: { limit: 1000, numSamples: 1000 }"
SHOW: Final = (
    f"query Insight($id: ID!) {{ insightViews(id: $id, {_EVERYTHING}) {{ nodes {{ ...Shown }} }} }}\n{_NODE}"
)
FIND: Final = """
query Insights($first: Int, $after: String, $find: String) {
  insightViews(first: $first, after: $after, find: $find) {
    nodes { id databaseID title createdAt isLoadingData seriesCount }
    totalCount
    pageInfo { endCursor hasNextPage }
  }
}
"""
ONE: Final = """
query Insight($id: ID!) {
  insightViews(id: $id) {
    nodes { id databaseID title createdAt isLoadingData seriesCount }
    pageInfo { endCursor hasNextPage }
  }
}
"""
PROGRESS: Final = f"""
query Progress($id: ID!) {{
  insightViews(id: $id, {_EVERYTHING}) {{
    nodes {{ isLoadingData dataSeries {{ seriesId status {{ plannedCells doneCells failedCells }} }} }}
  }}
}}
"""
CREATE: Final = """
mutation CreateInsight($input: LineChartSearchInsightInput!) {
  createLineChartSearchInsight(input: $input) {
    position
    notices { query message }
    view { id databaseID title createdAt isLoadingData seriesCount }
  }
}
"""
FAILURES: Final = """
query Failures($after: String, $find: String) {
  insightAdminBackfillQueue(first: 500, after: $after, textSearch: $find, states: [FAILED]) {
    nodes { insightViewId backfillQueueStatus { errors } }
    pageInfo { endCursor hasNextPage }
  }
}
"""
QUEUED: Final = """
query Queued($find: String) {
  insightAdminBackfillQueue(first: 500, textSearch: $find) {
    nodes { insightViewId backfillQueueStatus { state isPaused } }
  }
}
"""
DELETE: Final = "mutation DeleteInsight($id: ID!) { deleteInsightView(id: $id) { alwaysNil } }"


class _Camel(msgspec.Struct, rename="camel"):
    """Names as in the schema."""


class _Status(_Camel):
    planned_cells: int
    done_cells: int
    failed_cells: int = 0


class _Definition(_Camel):
    series_id: str


class _Repository(msgspec.Struct):
    name: str


class RepositoryPoint(_Camel):
    date_time: datetime
    value: float | None
    complete: bool
    reason: str | None = None


class RepositoryPoints(msgspec.Struct):
    repository: _Repository
    points: list[RepositoryPoint]


class Series(_Camel):
    """One line; ``times``, ``values`` and ``complete`` are parallel."""

    series_id: str
    label: str
    query: str
    times: list[datetime]
    values: list[float | None]
    complete: list[bool]
    status: _Status
    per_repository: list[RepositoryPoints]


class Insight(_Camel):
    """A whole insight."""

    id: str
    database_id: str = msgspec.field(name="databaseID")
    title: str = ""
    is_loading_data: bool = False
    data_series_definitions: list[_Definition] = []
    data_series: list[Series] = []

    @property
    def ordered(self) -> list[Series]:
        """The series in the order of their definitions; captured values stand together, by label."""
        places = {one.series_id: place for place, one in enumerate(reversed(self.data_series_definitions))}
        last = len(places)

        def place(series: Series) -> tuple[int, str]:
            found = places.get(series.series_id)
            if found is None:  # "<series id>-<captured value>"
                found = places.get(series.series_id[:66], -1)
            return last - found, series.label

        return sorted(self.data_series, key=place)


class Listed(_Camel):
    """An insight in a list."""

    id: str
    database_id: str = msgspec.field(name="databaseID")
    title: str = ""
    created_at: datetime | None = None
    is_loading_data: bool = False
    series_count: int = 0

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "number": self.database_id,
            "title": self.title,
            "createdAt": self.created_at,
            "isLoadingData": self.is_loading_data,
            "series": self.series_count,
        }


class _PageInfo(_Camel):
    end_cursor: str | None
    has_next_page: bool


class _List(_Camel):
    class Page(_Camel):
        nodes: list[Listed]
        page_info: _PageInfo

    insight_views: Page


class _Failures(_Camel):
    class Page(_Camel):
        class Item(_Camel):
            class Status(msgspec.Struct):
                errors: list[str]

            insight_view_id: str
            backfill_queue_status: Status

        nodes: list[Item]
        page_info: _PageInfo

    insight_admin_backfill_queue: Page


class _Queued(_Camel):
    class Page(msgspec.Struct):
        class Item(_Camel):
            class Status(_Camel):
                state: str
                is_paused: bool

            insight_view_id: str
            backfill_queue_status: Status

        nodes: list[Item]

    insight_admin_backfill_queue: Page


class _Whole(_Camel):
    class Page(msgspec.Struct):
        nodes: list[Insight]

    insight_views: Page


class _Progress(_Camel):
    class Page(msgspec.Struct):
        class View(_Camel):
            class Line(_Camel):
                series_id: str
                status: _Status

            is_loading_data: bool
            data_series: list[Line]

        nodes: list[View]

    insight_views: Page


class Created(_Camel):
    """The answer to CREATE."""

    class Payload(msgspec.Struct):
        class Notice(msgspec.Struct):
            query: str
            message: str

        position: str
        notices: list[Notice]
        view: Listed

    create_line_chart_search_insight: Payload


class Deleted(_Camel):
    """The answer to DELETE."""

    delete_insight_view: object


class InsightUnknown(MillstreamError):
    """No insight, or several, go by what was given."""


def titled(client: Client, identity: str) -> Listed | None:
    """What a list shows of one insight; None when there is no such."""
    nodes = client.ask(ONE, {"id": identity}, _List).insight_views.nodes
    return nodes[0] if nodes else None


def listed(client: Client, find: str | None = None) -> list[Listed]:
    """All insights, or those with this text in title or label; the newest first."""
    found: list[Listed] = []
    after: str | None = None
    while True:
        page = client.ask(FIND, {"first": 500, "after": after, "find": find}, _List).insight_views
        found += page.nodes
        after = page.page_info.end_cursor
        if not page.page_info.has_next_page:
            return sorted(found, key=lambda one: one.created_at or _LONG_AGO, reverse=True)


def failures(client: Client, find: str | None = None) -> dict[str, list[str]]:
    """Why the counting of an insight's past has failed, in the queue's words, by GraphQL id; those that failed only."""
    found: dict[str, list[str]] = {}
    after: str | None = None
    while True:
        page = client.ask(FAILURES, {"after": after, "find": find}, _Failures).insight_admin_backfill_queue
        for item in page.nodes:
            of_view = found.setdefault(item.insight_view_id, [])
            of_view += [one for one in item.backfill_queue_status.errors if one not in of_view]
        after = page.page_info.end_cursor
        if not page.page_info.has_next_page:
            return found


class Waiting(msgspec.Struct, frozen=True):
    """Whether anything of an insight's past waits or is counted now, and whether it is paused."""

    waits: bool
    paused: bool


def waiting(client: Client, one: Listed) -> Waiting:
    """How the queue stands for an insight."""
    nodes = client.ask(QUEUED, {"find": one.title}, _Queued).insight_admin_backfill_queue.nodes
    mine = [item.backfill_queue_status for item in nodes if item.insight_view_id == one.id]
    return Waiting(
        waits=any(status.state not in ("COMPLETED", "FAILED") for status in mine),
        paused=any(status.is_paused for status in mine),
    )


def resolve(client: Client, text: str) -> str:
    """The GraphQL id behind an id, a number or a title that is unique. Raises InsightUnknown."""
    from api.commands.errors import InputRefused
    from api.graphql.ids import INSIGHT, insight_node_id, parse_node_id

    if text.isascii() and text.isdigit():
        return insight_node_id(int(text))
    try:
        if parse_node_id(text)[0] == INSIGHT:
            return text
    except InputRefused:
        pass
    near = listed(client, text)
    found = [one for one in near if one.title == text]
    if len(found) == 1:
        return found[0].id
    if found:
        numbers = ", ".join(one.database_id for one in found)
        raise InsightUnknown(
            f"{len(found)} insights are called {text!r}", remedy=f"Name one by its number: {numbers}."
        )
    raise unknown(text, suggestion(text, [one.title for one in near]))


def suggestion(text: str, titles: Sequence[str]) -> str:
    """The only title that begins with the text or, when none does, the only one that holds it; empty when there is no such."""
    wanted = text.casefold()
    if not wanted.strip():
        return ""
    holding = sorted({title for title in titles if wanted in title.casefold()})
    beginning = [title for title in holding if title.casefold().startswith(wanted)]
    for close in (beginning, holding):
        if len(close) == 1:
            return close[0]
    return ""


def unknown(text: str, meant: str = "") -> InsightUnknown:
    """The error for an insight that is not there; ``meant`` is the title of one that is."""
    if meant:
        return InsightUnknown(
            f"there is no insight {text!r}: did you mean {meant!r}?",
            remedy=f"millstream insight show {shlex.quote(meant)}",
        )
    return InsightUnknown(f"there is no insight {text!r}", remedy="millstream insight list")


def whole(client: Client, identity: str) -> Insight | None:
    """Everything about one insight."""
    nodes = client.ask(SHOW, {"id": identity}, _Whole).insight_views.nodes
    return nodes[0] if nodes else None


class CellsSoFar(msgspec.Struct, frozen=True):
    """How far an insight is, each series counted once. ``done`` have an outcome; of these ``failed`` have no value."""

    loading: bool
    planned: int
    done: int
    failed: int


def cells(client: Client, identity: str) -> CellsSoFar | None:
    """How far it is; None when there is no such insight."""
    nodes = client.ask(PROGRESS, {"id": identity}, _Progress).insight_views.nodes
    if not nodes:
        return None
    by_series = {line.series_id[:66]: line.status for line in nodes[0].data_series}
    return CellsSoFar(
        loading=nodes[0].is_loading_data,
        planned=sum(status.planned_cells for status in by_series.values()),
        done=sum(status.done_cells for status in by_series.values()),
        failed=sum(status.failed_cells for status in by_series.values()),
    )
