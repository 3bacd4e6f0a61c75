"""The GraphQL operations of the demo, and the shapes of their answers."""

from datetime import datetime
from typing import Any, Final

import msgspec

from api.demo.definition import FRAMES, InsightWish


class _Answer(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of answers: field names in GraphQL are camelCase."""


REPOSITORIES: Final = """
query DemoRepositories($names: [String!], $first: Int) {
  repositories(names: $names, first: $first) { nodes { id name mirrorInfo { remoteURL cloned lastError shallow } } }
}
"""


class MirrorInfo(_Answer):
    """State of a clone."""

    remote_url: str = msgspec.field(name="remoteURL")
    cloned: bool
    last_error: str | None
    shallow: bool


class RepositoryAnswer(_Answer):
    """A repository that is followed."""

    id: str
    name: str
    mirror_info: MirrorInfo


class _Repositories(_Answer):
    nodes: list[RepositoryAnswer]


class RepositoriesAnswer(_Answer):
    """Answer to REPOSITORIES."""

    repositories: _Repositories


ADD_REPOSITORY: Final = """
mutation DemoAddRepository($input: AddRepositoryInput!) { addRepository(input: $input) { position } }
"""


class _Added(_Answer):
    position: str


class AddRepositoryAnswer(_Answer):
    """Answer to ADD_REPOSITORY."""

    add_repository: _Added


CREATE_INSIGHT: Final = """
mutation DemoCreateInsight($input: LineChartSearchInsightInput!) {
  createLineChartSearchInsight(input: $input) { position view { id databaseID position createdAt } }
}
"""


class _Created(_Answer):
    id: str
    database_id: str = msgspec.field(name="databaseID")
    position: str
    created_at: datetime


class _CreatedPayload(_Answer):
    position: str
    view: _Created


class CreateInsightAnswer(_Answer):
    """Answer to CREATE_INSIGHT."""

    created: _CreatedPayload = msgspec.field(name="createLineChartSearchInsight")


def create_insight_variables(wish: InsightWish) -> dict[str, Any]:
    """Variables of CREATE_INSIGHT."""
    step = {"stepInterval": {"unit": wish.interval.unit.value, "value": wish.interval.value}}
    return {
        "input": {
            "options": {"title": wish.title},
            "repositoryScope": {"repositories": list(wish.repositories)},
            "timeScope": step,
            "frames": FRAMES,
            "dataSeries": [
                {"query": series.query, "options": {"label": series.label, "lineColor": series.color}}
                for series in wish.series
            ],
        }
    }


PROGRESS: Final = """
query DemoProgress($id: ID!) {
  insightViews(id: $id) { nodes { isLoadingData dataSeries { status { plannedCells doneCells openCells failedCells } } } }
  asOf { projection positions { topic partition nextOffset appendTime } }
}
"""


class SeriesStatus(_Answer):
    """How far one series is, in cells (repository and frame)."""

    planned_cells: int
    done_cells: int
    open_cells: int
    failed_cells: int


class _SeriesProgress(_Answer):
    status: SeriesStatus


class _ViewProgress(_Answer):
    is_loading_data: bool
    data_series: list[_SeriesProgress]


class _ViewsProgress(_Answer):
    nodes: list[_ViewProgress]


class AppliedPosition(_Answer):
    """How far a projection has come in one partition."""

    topic: str
    partition: int
    next_offset: str
    append_time: datetime | None


class AsOf(_Answer):
    """How fresh a projection is."""

    projection: str
    positions: list[AppliedPosition]


AS_OF: Final = "query DemoAsOf { asOf { projection positions { topic partition nextOffset appendTime } } }"


class AsOfAnswer(_Answer):
    """Answer to AS_OF."""

    as_of: list[AsOf]


class ProgressAnswer(_Answer):
    """Answer to PROGRESS."""

    insight_views: _ViewsProgress
    as_of: list[AsOf]


INSIGHT: Final = """
query DemoInsight($id: ID!) {
  insightViews(id: $id) { nodes {
    id databaseID title position
    dataSeries {
      seriesId label query times values complete points { dateTime }
      status { plannedCells doneCells openCells failedCells }
      perRepository { repository { name } points { dateTime value complete reason commit } }
    }
  } }
}
"""


class _Time(_Answer):
    date_time: datetime


class RepositoryPoint(_Answer):
    """What one repository has at one frame."""

    date_time: datetime
    value: float | None
    complete: bool
    reason: str | None
    commit: str | None


class _Name(_Answer):
    name: str


class RepositoryPoints(_Answer):
    """One repository's part of a series."""

    repository: _Name
    points: list[RepositoryPoint]


class SeriesAnswer(_Answer):
    """One line of the chart. ``times``, ``values`` and ``complete`` are parallel."""

    series_id: str
    label: str
    query: str
    times: list[datetime]
    values: list[float | None]
    complete: list[bool]
    points: list[_Time]
    status: SeriesStatus
    per_repository: list[RepositoryPoints]


class InsightAnswer(_Answer):
    """The whole insight."""

    id: str
    database_id: str = msgspec.field(name="databaseID")
    title: str
    position: str
    data_series: list[SeriesAnswer]


class _Insights(_Answer):
    nodes: list[InsightAnswer]


class InsightViewsAnswer(_Answer):
    """Answer to INSIGHT."""

    insight_views: _Insights


NOTIFY: Final = """
mutation DemoNotify($repository: ID!) { updateMirrorRepository(repository: $repository) { alwaysNil } }
"""


class NotifyAnswer(_Answer):
    """Answer to NOTIFY: nothing but that it was taken."""


LAST_POINTS: Final = """
query DemoLastPoints($id: ID!) {
  insightViews(id: $id) { nodes { dataSeries { label query snapshot { value } } } }
}
"""


class _Snapshot(_Answer):
    value: float


class _LastPoint(_Answer):
    label: str
    query: str
    snapshot: _Snapshot | None


class _LastPointsView(_Answer):
    data_series: list[_LastPoint]


class _LastPointsViews(_Answer):
    nodes: list[_LastPointsView]


class LastPointsAnswer(_Answer):
    """Answer to LAST_POINTS."""

    insight_views: _LastPointsViews
