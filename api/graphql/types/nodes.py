"""``node(id)``."""

from ariadne import InterfaceType, QueryType

from api.auth.user import User
from api.graphql import ids
from api.graphql.types import insights, monitor_nodes, organizations, people, repositories, uploads
from api.graphql.types.info import Info, operation_of
from api.graphql.types.insights import ViewSource
from api.graphql.types.people import Person
from api.graphql.types.site import SiteSource
from projections.accounts.queries import Account, Organization
from projections.repositories.queries import Repository

query = QueryType()
node_type = InterfaceType("Node")


@query.field("node")
def resolve_node(
    _: object,
    info: Info,
    id: str,  # noqa: A002 - the reference's name
    min_position: list[str] | None = None,
) -> ViewSource | Repository | Person | Organization | uploads.Shown | monitor_nodes.MonitorNode | None:
    operation = operation_of(info)
    kind, key = ids.parse_node_id(id)
    if kind == ids.INSIGHT:
        return insights.node_of(operation, key)
    if kind == ids.REPOSITORY:
        return repositories.node_of(operation, key)
    if kind in ids.UPLOADS:
        return uploads.node_of(operation, kind, key)
    if kind == ids.USER:
        return people.node_of(operation, key)
    if kind == ids.ORG:
        return organizations.node_of(operation, key)
    return monitor_nodes.node_of(operation, kind, key)


@node_type.type_resolver
def node_kind(found: object, *_: object) -> str | None:
    match found:
        case ViewSource():
            return "InsightView"
        case Repository():
            return "Repository"
        case User() | Account():
            return "User"
        case Organization():
            return "Org"
        case SiteSource():
            return "Site"
        case uploads.Precise():
            return "PreciseIndex"
        case uploads.Lsif():
            return "LSIFUpload"
    return monitor_nodes.kind_of(found)


bindables = [query, node_type]
