"""Which projections an operation reads, and which positions it wants applied first: known before it runs.

All waits happen before the one transaction is opened, so that every field of the answer sees the same moment.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)
from graphql.execution.values import VariableValues, get_argument_values

from api.commands.errors import InputRefused
from api.graphql.operation import ALL_PROJECTIONS
from schemas.envelope import Position
from schemas.topics import Topic

BACKFILLS: Final = frozenset({"insights", "recordings", "repositories", "series_points"})
UPLOADS: Final = frozenset({"repositories", "uploads"})
ACCOUNTS: Final = frozenset({"accounts", "access"})
PERMISSIONS: Final = ACCOUNTS | {"repositories"}
MONITORS: Final = ACCOUNTS | {"monitors", "repositories", "settings"}
READ_BY: Final[Mapping[str, frozenset[str]]] = {
    "node": ALL_PROJECTIONS | PERMISSIONS | MONITORS | UPLOADS,
    "asOf": ALL_PROJECTIONS,
    "insightViews": ALL_PROJECTIONS,
    "repository": frozenset({"repositories"}),
    "repositories": frozenset({"repositories"}),
    "previewRepositoriesFromQuery": frozenset({"repositories"}),
    "insightPreview": frozenset({"repositories"}),
    "searchInsightPreview": frozenset({"repositories"}),
    "searchInsightLivePreview": frozenset({"repositories"}),
    "createLineChartSearchInsight": ALL_PROJECTIONS,
    "deleteInsightView": frozenset({"insights"}),
    "addRepository": frozenset({"repositories"}),
    "removeRepository": frozenset({"repositories"}),
    "updateMirrorRepository": frozenset({"repositories"}),
    "renameRepository": frozenset({"repositories"}),
    "updateRepository": frozenset({"repositories"}),
    "eventStatus": frozenset(
        {"event_index", "repositories", "insights", "settings", "accounts", "uploads", "monitors"}
    ),
    "event": frozenset(
        {"event_index", "repositories", "insights", "settings", "accounts", "uploads", "monitors"}
    ),
    "siteSettings": frozenset({"settings"}),
    "changeSiteSetting": frozenset({"settings"}),
    "deadLetters": frozenset({"operations"}),
    "deadLetter": frozenset({"operations"}),
    "operatorDecisions": frozenset({"operations"}),
    "operatorOrder": frozenset({"operations"}),
    "redriveAggregates": frozenset({"operations"}),
    "redriveAll": frozenset({"operations"}),
    "dropRecords": frozenset({"operations"}),
    "insightAdminBackfillQueue": BACKFILLS,
    "retryInsightSeriesBackfill": BACKFILLS,
    "moveInsightSeriesBackfillToFrontOfQueue": BACKFILLS,
    "moveInsightSeriesBackfillToBackOfQueue": BACKFILLS,
    "pauseInsightBackfill": BACKFILLS,
    "resumeInsightBackfill": BACKFILLS,
    "cancelInsightBackfill": BACKFILLS,
    "preciseIndexes": UPLOADS,
    "lsifUploads": UPLOADS,
    "deletePreciseIndex": UPLOADS,
    "deleteLSIFUpload": UPLOADS,
    **dict.fromkeys(
        (
            "currentUser",
            "user",
            "users",
            "organization",
            "organizations",
            "createUser",
            "updateUser",
            "addUserEmail",
            "removeUserEmail",
            "deleteUser",
            "setUserIsSiteAdmin",
            "createAccessToken",
            "deleteAccessToken",
            "createOrganization",
            "deleteOrganization",
            "addUserToOrganization",
            "removeUserFromOrganization",
        ),
        ACCOUNTS,
    ),
    "setRepositoryPermissionsForUsers": PERMISSIONS,
    "setRepositoryPermissionsUnrestricted": PERMISSIONS,
    "monitors": MONITORS,
    "codeMonitorPreview": frozenset({"repositories"}),
    "createCodeMonitor": MONITORS,
    "toggleCodeMonitor": MONITORS,
    "deleteCodeMonitor": MONITORS,
    "updateCodeMonitor": MONITORS,
    "runCodeMonitor": MONITORS,
    "resetTriggerQueryTimestamps": MONITORS,
    "triggerTestEmailAction": ACCOUNTS,
    "triggerTestWebhookAction": ACCOUNTS,
    "triggerTestSlackWebhookAction": ACCOUNTS,
}
"""Projections that each root field reads; a root field that is not here reads none."""
READ_BELOW: Final[Mapping[str, frozenset[str]]] = {
    "codeIntelligenceCommitGraph": frozenset({"commit_graph"}),
    "visibleUploads": frozenset({"commit_graph"}),
    "lsifUploads": frozenset({"uploads"}),
    "isLatestForRepo": frozenset({"commit_graph"}),
    "monitors": MONITORS,
    "permissionsInfo": PERMISSIONS,
    "creator": ACCOUNTS,
}
"""What fields read, wherever they stand below, beside what their root field does."""


_TOPICS: Final = frozenset(topic.value for topic in Topic)


class Needs(msgspec.Struct, frozen=True):
    """``projections`` are read by the operation, ``positions`` have to be applied by them first."""

    projections: frozenset[str]
    positions: tuple[Position, ...]


def needs_of(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: VariableValues,
) -> Needs:
    """What the operation, already valid, needs before it runs. Raises InputRefused."""
    root = schema.get_root_type(operation.operation)
    projections: set[str] = set()
    positions: set[Position] = set()
    if root is not None:
        for field in _root_fields(operation.selection_set, fragments):
            projections |= READ_BY.get(field.name.value, frozenset())
            projections.update(*(READ_BELOW.get(name, ()) for name in _names_below(field, fragments)))
            positions.update(_positions(root, field, variables))
    return Needs(frozenset(projections), tuple(sorted(positions)))


def parse_positions(texts: Collection[str], field: str = "minPosition") -> list[Position]:
    """``topic/partition@offset`` each. Raises InputRefused."""
    found: list[Position] = []
    for text in texts:
        try:
            position = Position.parse(text)
        except ValueError as error:
            raise _no_position(field, text) from error
        if position.topic not in _TOPICS or position.partition < 0 or position.offset < 0:
            raise _no_position(field, text)
        found.append(position)
    return found


def _no_position(field: str, text: str) -> InputRefused:
    return InputRefused(
        field, f"{text!r} is no position", remedy="topic/partition@offset, as a write returns it."
    )


def _root_fields(
    selections: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    for node in selections.selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _root_fields(node.selection_set, fragments)
        elif isinstance(node, FragmentSpreadNode):
            yield from _root_fields(fragments[node.name.value].selection_set, fragments)


def _names_below(field: FieldNode, fragments: Mapping[str, FragmentDefinitionNode]) -> set[str]:
    """Names of all fields below ``field``; each fragment is looked into once."""
    found: set[str] = set()
    looked_into: set[str] = set()
    open_sets = [field.selection_set]
    while open_sets:
        for node in (open_sets.pop() or SelectionSetNode(selections=())).selections:
            if isinstance(node, FragmentSpreadNode):
                if node.name.value not in looked_into:
                    looked_into.add(node.name.value)
                    open_sets.append(fragments[node.name.value].selection_set)
                continue
            if isinstance(node, FieldNode):
                found.add(node.name.value)
                open_sets.append(node.selection_set)
            elif isinstance(node, InlineFragmentNode):
                open_sets.append(node.selection_set)
    return found


def _positions(root: GraphQLObjectType, field: FieldNode, variables: VariableValues) -> list[Position]:
    definition = root.fields.get(field.name.value)
    if definition is None or "minPosition" not in definition.args:
        return []
    try:
        given = get_argument_values(definition, field, variables)
    except GraphQLError:
        return []  # execution will say what is wrong with the arguments
    return parse_positions(given.get(definition.args["minPosition"].out_name or "minPosition") or ())
