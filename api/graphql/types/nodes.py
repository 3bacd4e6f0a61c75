"""``node(id)``."""

from ariadne import InterfaceType, QueryType

from api.auth.user import User
from api.graphql import ids
from api.graphql.types import insights, repositories
from api.graphql.types.info import Info, operation_of
from api.graphql.types.insights import ViewSource
from api.graphql.types.site import SiteSource
from projections.repositories.queries import Repository

query = QueryType()
node_type = InterfaceType("Node")


@query.field("node")
def resolve_node(
    _: object,
    info: Info,
    id: str,  # noqa: A002 - the reference's name
    min_position: list[str] | None = None,
) -> ViewSource | Repository | User | None:
    operation = operation_of(info)
    kind, key = ids.parse_node_id(id)
    if kind == ids.INSIGHT:
        return insights.node_of(operation, key)
    if kind == ids.REPOSITORY:
        return repositories.node_of(operation, key)
    if kind == ids.USER and key == operation.user.name:
        return operation.user
    return None


@node_type.type_resolver
def node_kind(found: object, *_: object) -> str | None:
    match found:
        case ViewSource():
            return "InsightView"
        case Repository():
            return "Repository"
        case User():
            return "User"
        case SiteSource():
            return "Site"
    return None


bindables = [query, node_type]
