"""``Site`` and ``User``."""

import msgspec
from ariadne import ObjectType, QueryType

from api.auth.user import User
from api.graphql import ids
from api.graphql.types.info import Info, operation_of

query = QueryType()
user_type = ObjectType("User")


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


@query.field("currentUser")
def resolve_current_user(_: object, info: Info) -> User:
    return operation_of(info).user


@user_type.field("id")
def resolve_user_id(user: User, _: Info) -> str:
    return ids.node_id(ids.USER, user.name)


@user_type.field("username")
@user_type.field("displayName")
def resolve_user_name(user: User, _: Info) -> str:
    return user.name


@user_type.field("viewerCanAdminister")
def resolve_user_admin(user: User, _: Info) -> bool:
    return user.site_admin


@user_type.field("url")
def resolve_user_url(user: User, _: Info) -> str:
    return f"/users/{user.name}"


bindables = [query, user_type]
