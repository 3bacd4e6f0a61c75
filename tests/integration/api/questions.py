"""What the tests of this folder ask and say."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from api.graphql.ids import insight_id_of
from infra.kafka.producer import Publisher
from schemas.codec import new_event
from schemas.events import BackfillPlanned, PlanCause, PlannedScope, PlannedSeries
from schemas.grid import TimeUnit
from schemas.registry import Payload
from tests.integration.api.conftest import Api

CREATE = """
mutation Create($input: LineChartSearchInsightInput!) {
  createLineChartSearchInsight(input: $input) {
    position
    view { id title isLoadingData position dataSeries { seriesId label points { value } status { isLoadingData } } }
  }
}
"""
ADD = "mutation Add($input: AddRepositoryInput!) { addRepository(input: $input) { position repository { id name } } }"
CHART = """
query Chart($id: ID!, $filters: InsightViewFiltersInput, $display: SeriesDisplayOptionsInput, $min: [String!]) {
  insightViews(id: $id, filters: $filters, seriesDisplayOptions: $display, minPosition: $min) {
    nodes {
      isLoadingData
      dataSeries {
        seriesId label times values complete
        points { dateTime value complete diffQuery pointInTimeQuery }
        incompletePoints { dateTime value reasons }
        perRepository { repository { name } points { dateTime value complete reason commit } }
        status {
          plannedCells doneCells openCells failedCells isLoadingData
          incompleteDatapoints {
            __typename time
            ... on GenericIncompleteDatapointAlert { reason repositories { name } }
            ... on TimeoutDatapointAlert { repositories { name } }
          }
        }
      }
    }
  }
}
"""
MONTHLY = {"stepInterval": {"unit": "MONTH", "value": 1}}


def definition(
    title: str, *queries: str, repositories: Sequence[str] = (), **more: object
) -> dict[str, object]:
    return {
        "options": {"title": title},
        "dataSeries": [{"query": query, "options": {"label": query}, **more} for query in queries],
        "repositoryScope": {"repositories": list(repositories)},
        "timeScope": MONTHLY,
    }


def create(api: Api, title: str, *queries: str, repositories: Sequence[str] = (), **more: object) -> Any:
    given = definition(title, *queries, repositories=repositories, **more)
    return api.ask(CREATE, {"input": given})["createLineChartSearchInsight"]


def say(publisher: Publisher, *payloads: Payload) -> list[str]:
    """Publish as an agent would; where they lie."""
    events = [new_event(payload, source="//test", time=datetime.now(UTC)) for payload in payloads]
    return [str(position) for position in publisher.publish(events)]


def planned(
    view: Any, repositories: Sequence[int], first: int, end: int, series: Sequence[str] | None = None
) -> BackfillPlanned:
    ids = series if series is not None else [line["seriesId"] for line in view["dataSeries"]]
    return BackfillPlanned(
        insight_id=insight_id_of(view["id"]),
        cause=PlanCause.INSIGHT_CREATED,
        scopes=[
            PlannedScope(
                series=[
                    PlannedSeries(
                        series_id=one, unit=TimeUnit.MONTH, value=1, first_index=first, end_index=end
                    )
                    for one in ids
                ],
                repositories=list(repositories),
            )
        ],
        part=1,
        of=1,
    )


def chart(
    api: Api,
    view: Any,
    *,
    min_position: Sequence[str] = (),
    filters: dict[str, object] | None = None,
    display: dict[str, object] | None = None,
) -> Any:
    variables = {"id": view["id"], "filters": filters, "display": display, "min": list(min_position)}
    (found,) = api.ask(CHART, variables)["insightViews"]["nodes"]
    return found


def text(instant: datetime) -> str:
    """As the API writes it."""
    return instant.isoformat().replace("+00:00", "Z")
