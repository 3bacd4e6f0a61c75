"""What an operation may cost: one per field, times the sizes of the lists around it.

Ariadne's validator does the counting. The map that it needs is generated from the schema, so that no field is free
(children that are not in the map would not be multiplied), and a list without a page size counts as long as it may be.
"""

from functools import cache
from typing import Any, Final

from ariadne.validation.query_cost import CostValidator
from graphql import (
    ASTValidationRule,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    ValidationContext,
)

from api.commands.errors import Code

PAGE: Final = "first"
_ASSUMED: Final = "_assumed"

PAGE_SIZES: Final[dict[tuple[str, str], int]] = {
    ("Query", "insightViews"): 1000,
    ("Query", "repositories"): 1000,
    ("Query", "insightsDashboards"): 100,
    ("InsightView", "dashboards"): 1,
    ("Query", "insightAdminBackfillQueue"): 1000,
    ("Projection", "rebuilds"): 100,
    ("Query", "deadLetters"): 200,
    ("Query", "operatorDecisions"): 200,
    ("Query", "preciseIndexes"): 100,
    ("Query", "lsifUploads"): 100,
    ("Repository", "lsifUploads"): 100,
    ("Query", "users"): 1000,
    ("Query", "organizations"): 1000,
    ("User", "accessTokens"): 10,
    ("Query", "monitors"): 200,
    ("User", "monitors"): 50,
    ("Monitor", "actions"): 5,
    ("MonitorQuery", "events"): 200,
    ("MonitorTriggerEvent", "actions"): 5,
    ("MonitorTriggerEvent", "results"): 50,
    ("MonitorEmail", "recipients"): 5,
    ("MonitorEmail", "events"): 10,
    ("MonitorWebhook", "events"): 10,
    ("MonitorSlackWebhook", "events"): 10,
}
"""Largest page of each connection: what an omitted, null or negative ``first`` asks for."""

LIST_SIZES: Final[dict[tuple[str, str], int]] = {
    ("InsightView", "dataSeries"): 3,
    ("InsightView", "dataSeriesDefinitions"): 3,
    ("LineChartInsightViewPresentation", "seriesPresentation"): 3,
    ("InsightsSeries", "points"): 12,
    ("InsightsSeries", "incompletePoints"): 4,
    ("InsightsSeries", "perRepository"): 100,
    ("RepositoryPoints", "points"): 12,
    ("InsightSeriesStatus", "incompleteDatapoints"): 4,
    ("AsOf", "positions"): 20,
    ("Query", "searchInsightPreview"): 3,
    ("Query", "searchInsightLivePreview"): 3,
    ("InsightPreview", "series"): 3,
    ("SearchInsightLivePreviewSeries", "points"): 7,
    ("EventStatus", "publications"): 2,
    ("EventTrace", "publications"): 2,
    ("EventTrace", "projections"): 5,
    ("EventTrace", "groups"): 3,
    ("EventTrace", "causes"): 4,
    ("EventTrace", "effects"): 20,
    ("EventTrace", "effectCounts"): 5,
    ("EventTrace", "owed"): 3,
    ("EventRecord", "headers"): 10,
    ("InsightViewPayload", "notices"): 3,
    ("Query", "siteSettings"): 10,
    ("ConsumerGroups", "groups"): 15,
    ("ConsumerGroup", "window"): 24,
    ("ConsumerGroup", "partitions"): 40,
    ("Query", "projections"): 10,
    ("DeadLetterRecord", "headers"): 10,
    ("OperatorOrder", "outcomes"): 20,
    ("Projection", "generations"): 4,
    ("ProjectionGeneration", "positions"): 40,
    ("Repository", "visibleUploads"): 10,
    ("PreciseIndex", "auditLogs"): 10,
    ("LSIFUpload", "auditLogs"): 10,
    ("LSIFUploadAuditLog", "changedColumns"): 1,
    ("User", "emails"): 1,
    ("User", "organizations"): 3,
    ("Org", "members"): 50,
    ("CodeMonitorPreview", "results"): 10,
}
"""What lists of objects without a page size usually hold; a test says that every one is here or inside a page."""


class CostRule(CostValidator):
    """Ariadne's, with honest sizes where ``first`` is left out or the list has none."""

    def get_args_from_cost_map(
        self, node: FieldNode, parent_type: str, field_args: dict[str, Any]
    ) -> dict[str, Any] | None:
        place = (parent_type, node.name.value)
        arguments = dict(field_args)
        if place in PAGE_SIZES:
            first = arguments.get(PAGE)
            only_one = arguments.get("id") is not None
            arguments[PAGE] = (
                1
                if only_one
                else first
                if isinstance(first, int) and 0 < first < PAGE_SIZES[place]
                else PAGE_SIZES[place]
            )
        if place in LIST_SIZES:
            arguments[_ASSUMED] = LIST_SIZES[place]
        found: dict[str, Any] | None = super().get_args_from_cost_map(node, parent_type, arguments)
        return found

    def get_cost_exceeded_error(self) -> GraphQLError:
        return GraphQLError(
            f"The operation costs {self.cost}; at most {self.maximum_cost} are allowed: ask for fewer fields or smaller pages.",
            extensions={
                "code": Code.LIMIT_EXCEEDED.value,
                "limit": "cost",
                "cost": self.cost,
                "maximum": self.maximum_cost,
            },
        )


@cache
def cost_map(schema: GraphQLSchema) -> dict[str, dict[str, Any]]:
    """Every field of every object type, and by which argument it multiplies what is below it."""
    generated: dict[str, dict[str, Any]] = {}
    for name, type_ in schema.type_map.items():
        if isinstance(type_, GraphQLObjectType) and not name.startswith("__"):
            generated[name] = {field: _entry(name, field) for field in type_.fields}
    return generated


def _entry(type_name: str, field: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"complexity": 1, "use_multipliers": True}
    if (type_name, field) in PAGE_SIZES:
        entry["multipliers"] = [PAGE]
    elif (type_name, field) in LIST_SIZES:
        entry["multipliers"] = [_ASSUMED]
    return entry


def cost_rule(schema: GraphQLSchema, maximum: int, variables: dict[str, Any]) -> type[ASTValidationRule]:
    """The rule for one request: multipliers may come from its variables."""

    class RequestCost(CostRule):
        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context, maximum, default_cost=1, variables=variables, cost_map=cost_map(schema))

    return RequestCost
