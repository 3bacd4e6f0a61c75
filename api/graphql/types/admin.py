"""Who may operate the site, and who may change what somebody made."""

from api.commands.errors import ApiError, Code
from api.graphql.types.info import Info, operation_of
from api.operating import Operating


def require_site_admin(info: Info) -> None:
    """Raises ApiError NOT_PERMITTED."""
    if not operation_of(info).user.site_admin:
        raise ApiError(
            Code.NOT_PERMITTED, "Only a site admin may see or do this.", remedy="Ask a site admin to do it."
        )


def require_creator(info: Info, creator: str) -> None:
    """Whoever made it may change it, and a site admin. Raises ApiError NOT_PERMITTED."""
    user = operation_of(info).user
    if user.name != creator and not user.site_admin:
        raise ApiError(
            Code.NOT_PERMITTED,
            f"Only {creator or 'a site admin'} may change this, who made it.",
            remedy="Ask whoever made it, or a site admin.",
        )


def operating_of(info: Info) -> Operating:
    """What operators' fields read, for a site admin. Raises ApiError NOT_PERMITTED."""
    require_site_admin(info)
    return operation_of(info).services.operating
