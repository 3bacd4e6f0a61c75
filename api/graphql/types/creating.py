"""``createLineChartSearchInsight``, ``deleteInsightView``, and the checks that a form asks for while it is filled in."""

import secrets

from ariadne import MutationType, QueryType

from api.commands.errors import ApiError, Code, InputRefused
from api.commands.insights import check_query, insight_created, names_in, notices_in, scope_problem
from api.graphql import ids
from api.graphql.operation import Operation
from api.graphql.types.admin import require_creator
from api.graphql.types.info import Info, operation_of
from api.graphql.types.insights import view_source
from api.graphql.writing import earlier, event_of, key_of, write
from projections.insights import queries
from projections.insights.queries import View
from projections.repositories import queries as repository_queries
from schemas.events import InsightCreated, InsightDeleted, SeriesKind
from schemas.ids import aggregate_id
from streams.insights.plan import Definition, scopes_of
from streams.insights.scope import Repository
from streams.search.query import QueryError, parse

query = QueryType()
mutation = MutationType()


@query.field("validateScopedInsightQuery")
def resolve_validate_scope(_: object, __: Info, query: str) -> dict[str, object]:
    try:
        problem = scope_problem(parse(query))
    except QueryError as error:
        problem = f"the input query is invalid: {error.reason} (at position {error.position})"
    return {"query": query, "is_valid": problem is None, "invalid_reason": problem}


@query.field("validateInsightQuery")
def resolve_validate_query(
    _: object, __: Info, query: str, generated_from_capture_groups: bool | None = False
) -> dict[str, object]:
    kind = SeriesKind.CAPTURE if generated_from_capture_groups else SeriesKind.SEARCH
    answer: dict[str, object] = {"query": query, "is_valid": True, "notices": []}
    if not query.strip():
        return answer | {
            "is_valid": False,
            "invalid_reason": "a query is required",
            "position": 0,
            "length": 0,
        }
    try:
        return answer | {"notices": list(check_query(query, kind, "query").notices)}
    except InputRefused as error:
        reason = f"{error} {error.remedy}".strip()
        place = {name: error.extensions.get(name) for name in ("position", "length")}
        return answer | {"is_valid": False, "invalid_reason": reason} | place


@mutation.field("createLineChartSearchInsight")
def resolve_create(_: object, info: Info, input: dict[str, object]) -> dict[str, object]:  # noqa: A002
    operation, key = operation_of(info), key_of(info)
    insight_id = aggregate_id("insight", operation.user.name, key or secrets.token_hex(16))
    connection = operation.reads.snapshot.connection
    wanted = names_in(input)
    known = {one.name: one.id for one in repository_queries.all_repositories(connection)} if wanted else {}
    payload = insight_created(
        input,
        insight_id=insight_id,
        creator=operation.user.name,
        created_at=operation.now,
        repository_ids={name: known[name] for name in wanted if name in known},
    )
    notices = [*notices_in(payload), *_without_repository(operation, payload)]
    existing = None if key is None else queries.view(connection, insight_id)
    if existing is not None:
        _check_same(operation, existing, payload)
        return {
            "view": view_source(operation, existing),
            "position": existing.created_position,
            "notices": notices,
        }
    identity = ids.insight_node_id(insight_id)
    written = write(info, event_of(info, payload), identity=identity)
    created = queries.view(operation.reads.snapshot.connection, insight_id)
    if created is None:
        raise ApiError(
            Code.NOT_FOUND,
            "This insight was deleted.",
            remedy="Create another one, with another Idempotency-Key.",
            id=identity,
        )
    return {
        "view": view_source(operation, created),
        "position": str(written.position),
        "notices": notices,
    }


@mutation.field("deleteInsightView")
def resolve_delete(_: object, info: Info, id: str) -> dict[str, object]:  # noqa: A002 - the reference's name
    operation, insight_id = operation_of(info), ids.insight_id_of(id)
    event = event_of(info, InsightDeleted(insight_id=insight_id))
    if earlier(info, event, identity=id) is None:
        before = queries.view(operation.reads.snapshot.connection, insight_id)
        if before is None:
            raise ApiError(Code.NOT_FOUND, "There is no such insight.", field="id", id=id)
        require_creator(info, before.creator)
        write(info, event, identity=id)
    return {}


def _without_repository(operation: Operation, payload: InsightCreated) -> list[dict[str, object]]:
    """A notice for each line whose scope holds no repository that is followed: the planner's own rule."""
    definition = Definition(
        insight_id=payload.insight_id,
        creator=payload.creator,
        created_at=payload.created_at,
        frames=payload.frames,
        series=tuple(payload.series),
    )
    followed = [
        Repository(one.id, one.name, one.fork, one.archived)
        for one in repository_queries.all_repositories(operation.reads.snapshot.connection)
        if one.removed_at is None
    ]
    covered = {
        one.series_id
        for scope in scopes_of(definition, followed)
        if scope.repositories
        for one in scope.series
    }
    return [
        {
            "field": f"dataSeries[{index}].repositoryScope",
            "query": one.query,
            "message": "no repository that is followed is in its scope: nothing is counted until one is added, or another scope is given",
        }
        for index, one in enumerate(payload.series)
        if one.series_id not in covered
    ]


def _check_same(operation: Operation, existing: View, payload: InsightCreated) -> None:
    series = operation.reads.series.get(existing.id) or ()
    before = (existing.title, existing.description, existing.frames, list(series))
    if before != (payload.title, payload.description, payload.frames, payload.series):
        raise InputRefused(
            "Idempotency-Key", "this key was used for another insight", remedy="Use a new key for a new insight.",
            id=ids.insight_node_id(existing.id),
        )  # fmt: skip


bindables = [query, mutation]
