"""``Repository``, its connection, and what leads to them."""

from collections.abc import Sequence

import msgspec
from ariadne import ObjectType, QueryType

from api.commands.errors import ApiError, Code, InputRefused, query_refused
from api.commands.insights import scope_problem
from api.graphql import ids
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.operation import Operation
from api.graphql.types.freshness import AsOf, as_of
from api.graphql.types.info import Info, operation_of
from projections.repositories import queries
from projections.repositories.queries import Repository
from streams.search.query import QueryError, RepositoryType, parse, repository_filter

query = QueryType()
repository_type = ObjectType("Repository")
connection_type = ObjectType("RepositoryConnection")

_CURSOR = "repositories"
_MAXIMUM = 1000


class PageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``PageInfo``."""

    end_cursor: str | None = None
    has_next_page: bool = False


class RepositoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """``RepositoryConnection``. ``total`` is known only where all were read."""

    nodes: Sequence[Repository]
    page_info: PageInfo
    find: str | None
    total: int | None


class GitObject(msgspec.Struct, frozen=True):
    oid: str

    @property
    def abbreviated_oid(self) -> str:
        return self.oid[:7]


class GitRef(msgspec.Struct, frozen=True):
    display_name: str
    target: GitObject

    @property
    def name(self) -> str:
        return f"refs/heads/{self.display_name}"

    @property
    def abbrev_name(self) -> str:
        return self.display_name


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """``MirrorRepositoryInfo``."""

    remote_url: str
    cloned: bool
    clone_in_progress: bool
    last_error: str | None
    shallow: bool


class External(msgspec.Struct, frozen=True, kw_only=True):
    """``ExternalRepository``."""

    id: str
    service_type: str
    service_id: str


@query.field("repository")
def resolve_repository(
    _: object,
    info: Info,
    name: str | None = None,
    clone_url: str | None = None,
    min_position: list[str] | None = None,
) -> Repository | None:
    connection = operation_of(info).reads.snapshot.connection
    if name is not None:
        return queries.by_name(connection, name)
    return None if clone_url is None else queries.by_location(connection, clone_url)


@query.field("repositories")
def resolve_repositories(
    _: object,
    info: Info,
    first: int | None = None,
    after: str | None = None,
    query: str | None = None,
    names: list[str] | None = None,
    cloned: bool | None = True,
    not_cloned: bool | None = True,
    indexed: bool | None = True,
    not_indexed: bool | None = True,
    failed_fetch: bool | None = False,
    order_by: str | None = "REPOSITORY_NAME",
    descending: bool | None = False,
    min_position: list[str] | None = None,
) -> RepositoryPage:
    connection = operation_of(info).reads.snapshot.connection
    limit = _MAXIMUM if first is None or first < 0 else min(first, _MAXIMUM)
    by_name = order_by in (None, "REPOSITORY_NAME") and not descending
    everything = cloned is not False and not_cloned is not False and not failed_fetch
    if by_name and everything and names is None:
        start = _after(after)
        found = queries.page(connection, limit + 1, start, query or None)
        nodes = found[:limit]
        last = cursor(_CURSOR, nodes[-1].name, nodes[-1].id) if nodes else None
        page = PageInfo(end_cursor=last if len(found) > limit else None, has_next_page=len(found) > limit)
        return RepositoryPage(nodes=nodes, page_info=page, find=query or None, total=None)
    if after is not None:
        raise ApiError(
            Code.NOT_SUPPORTED,
            "Further pages are there only in the order of names and without other filters.",
        )
    wanted = None if names is None else set(names)
    chosen = [
        one
        for one in queries.all_repositories(connection)
        if (wanted is None or one.name in wanted)
        and (not query or query.lower() in one.name.lower())
        and (one.clone_state == "ready" if not_cloned is False else True)
        and (one.clone_state != "ready" if cloned is False else True)
        and (one.clone_state == "failed" if failed_fetch else True)
    ]
    if order_by in (None, "REPOSITORY_NAME"):
        chosen.sort(key=lambda one: (one.name, one.id), reverse=bool(descending))
    else:
        chosen.sort(key=lambda one: (one.registered_at, one.id), reverse=bool(descending))
    return RepositoryPage(
        nodes=chosen[:limit],
        page_info=PageInfo(has_next_page=len(chosen) > limit),
        find=None,
        total=len(chosen),
    )


@query.field("previewRepositoriesFromQuery")
def resolve_preview(
    _: object, info: Info, query: str, min_position: list[str] | None = None
) -> dict[str, object]:
    try:
        parsed = parse(query)
    except QueryError as error:
        raise query_refused("query", error) from error
    problem = scope_problem(parsed)
    if problem is not None:
        raise InputRefused("query", f"the input query cannot be used for previewing repositories: {problem}")
    chosen = repository_filter(parsed, RepositoryType.ALL)
    found = queries.all_repositories(operation_of(info).reads.snapshot.connection)
    number = sum(chosen.matches(one.name, one.fork, one.archived) for one in found)
    return {"query": query, "number_of_repositories": number}


@connection_type.field("totalCount")
def resolve_total_count(page: RepositoryPage, info: Info, precise: bool | None = False) -> int:
    if page.total is not None:
        return page.total
    return queries.count(operation_of(info).reads.snapshot.connection, page.find)


@connection_type.field("asOf")
def resolve_connection_as_of(_: RepositoryPage, info: Info) -> list[AsOf]:
    return as_of(operation_of(info), ["repositories"])


@repository_type.field("id")
def resolve_id(one: Repository, _: Info) -> str:
    return ids.repository_node_id(one.id)


@repository_type.field("url")
def resolve_url(one: Repository, _: Info) -> str:
    return f"/{one.name}"


@repository_type.field("description")
@repository_type.field("language")
def resolve_unknown_text(_: Repository, __: Info) -> str:
    return ""


@repository_type.field("createdAt")
def resolve_created_at(one: Repository, _: Info) -> object:
    return one.registered_at


@repository_type.field("updatedAt")
def resolve_updated_at(_: Repository, __: Info) -> None:
    return None


@repository_type.field("isFork")
def resolve_is_fork(one: Repository, _: Info) -> bool:
    return one.fork


@repository_type.field("isArchived")
def resolve_is_archived(one: Repository, _: Info) -> bool:
    return one.archived


@repository_type.field("isPrivate")
def resolve_is_private(one: Repository, _: Info) -> bool:
    return one.private


@repository_type.field("viewerCanAdminister")
def resolve_viewer_can_administer(_: Repository, info: Info) -> bool:
    return operation_of(info).user.site_admin


@repository_type.field("defaultBranch")
def resolve_default_branch(one: Repository, _: Info) -> GitRef | None:
    if one.default_branch is None or one.tip is None:
        return None
    return GitRef(one.default_branch, GitObject(one.tip))


@repository_type.field("mirrorInfo")
def resolve_mirror(one: Repository, _: Info) -> Mirror:
    return Mirror(
        remote_url=one.clone_url or one.path or "",
        cloned=one.clone_state == "ready",
        clone_in_progress=one.clone_state == "waiting",
        last_error=one.clone_error,
        shallow=one.shallow,
    )


@repository_type.field("externalRepository")
def resolve_external(one: Repository, _: Info) -> External:
    host, _slash, _path = one.name.partition("/")
    return External(id=one.name, service_type="other", service_id=host)


@repository_type.field("position")
def resolve_position(one: Repository, _: Info) -> str:
    return one.registered_position


def node_of(operation: Operation, key: str) -> Repository | None:
    """The repository behind a node id's key."""
    return operation.reads.repositories.get(int(key)) if key.isascii() and key.isdigit() else None


def _after(after: str | None) -> tuple[str, int] | None:
    if after is None:
        return None
    key = parse_cursor(_CURSOR, after)
    if len(key) != 2 or not isinstance(key[0], str) or not isinstance(key[1], int):
        raise InputRefused("after", "this is no cursor of this list")
    return key[0], key[1]


bindables = [query, repository_type, connection_type]
