"""``siteSettings`` and ``changeSiteSetting``."""

from ariadne import MutationType, ObjectType, QueryType

from api.commands.errors import InputRefused
from api.graphql.types.admin import require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import earlier, event_of, write
from projections.settings import queries
from projections.settings.queries import Changed
from schemas.events import SettingsChanged
from schemas.settings.known import BY_KEY

query = QueryType()
mutation = MutationType()
setting_type = ObjectType("SiteSetting")


@query.field("siteSettings")
def resolve_settings(_: object, info: Info, min_position: list[str] | None = None) -> list[Changed]:
    return queries.listed(operation_of(info).reads.snapshot.connection)


@mutation.field("changeSiteSetting")
def resolve_change(_: object, info: Info, key: str, value: float | None = None) -> dict[str, object]:
    require_site_admin(info)
    operation = operation_of(info)
    check(key, value)
    event = event_of(info, SettingsChanged(key=key, value=value, changed_by=operation.user.name))
    written = earlier(info, event, identity=key) or write(info, event, identity=key)
    found = {one.setting.key: one for one in queries.listed(operation.reads.snapshot.connection)}
    return {"setting": found[key], "position": str(written.position)}


def check(key: str, value: float | None) -> None:
    """The bounds of the setting. Raises InputRefused."""
    setting = BY_KEY.get(key)
    if setting is None:
        raise InputRefused(
            "key", f"there is no setting {key!r}", remedy="Name one of " + ", ".join(sorted(BY_KEY)) + "."
        )
    if value is not None and not setting.least <= value <= setting.most:
        raise InputRefused(
            "value",
            f"{key} has to lie between {setting.least:g} and {setting.most:g}",
            remedy=f"Give such a number ({setting.help}), or give the default back: millstream settings unset {key}.",
        )


@setting_type.field("key")
def resolve_key(one: Changed, _: Info) -> str:
    return one.setting.key


@setting_type.field("default")
def resolve_default(one: Changed, _: Info) -> float | None:
    return one.setting.default


@setting_type.field("least")
def resolve_least(one: Changed, _: Info) -> float:
    return one.setting.least


@setting_type.field("most")
def resolve_most(one: Changed, _: Info) -> float:
    return one.setting.most


@setting_type.field("help")
def resolve_help(one: Changed, _: Info) -> str:
    return one.setting.help


bindables = [query, mutation, setting_type]
