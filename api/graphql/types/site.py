"""``Site``."""

import msgspec
from ariadne import QueryType

from api.graphql import ids
from api.graphql.types.info import Info, operation_of

query = QueryType()


class SiteSource(msgspec.Struct, frozen=True, kw_only=True):
    """``Site``."""

    product_version: str
    viewer_can_administer: bool
    id: str = ids.node_id(ids.SITE, "site")
    site_id: str = "millstream"

    @property
    def build_version(self) -> str:
        return self.product_version


@query.field("site")
def resolve_site(_: object, info: Info) -> SiteSource:
    operation = operation_of(info)
    return SiteSource(
        product_version=operation.services.version, viewer_can_administer=operation.user.site_admin
    )


bindables = [query]
