"""``PreciseIndex`` and ``LSIFUpload``: one upload under its newer and its older name, and the lists of them."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from ariadne import ObjectType, QueryType

from api.commands.errors import ApiError, Code, InputRefused
from api.graphql import ids
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.operation import Operation
from api.graphql.types.freshness import AsOf, as_of
from api.graphql.types.info import Info, operation_of
from api.graphql.types.repositories import GitObject, PageInfo
from api.graphql.types.upload_logs import Logged
from projections.repositories.queries import Repository
from projections.uploads import queries
from projections.uploads.queries import Filter, Upload
from schemas.events import UploadState

query = QueryType()
repository_type = ObjectType("Repository")
precise_type = ObjectType("PreciseIndex")
lsif_type = ObjectType("LSIFUpload")
connection_types = (ObjectType("PreciseIndexConnection"), ObjectType("LSIFUploadConnection"))

_CURSOR: Final = "uploads"
_MAXIMUM: Final = 100
_S: Final = UploadState
_PRECISE: Final[Mapping[str, str]] = {
    _S.UPLOADING: "UPLOADING_INDEX",
    _S.QUEUED: "QUEUED_FOR_PROCESSING",
    _S.PROCESSING: "PROCESSING",
    _S.ERRORED: "PROCESSING_ERRORED",
    _S.FAILED: "PROCESSING_ERRORED",
    _S.COMPLETED: "COMPLETED",
    _S.DELETING: "DELETING",
    _S.DELETED: "DELETED",
}
_LSIF: Final[Mapping[str, str]] = {
    state.value: "ERRORED" if state is _S.FAILED else state.name for state in _S
}


class Precise(msgspec.Struct, frozen=True):
    """``PreciseIndex``."""

    upload: Upload


class Lsif(msgspec.Struct, frozen=True):
    """``LSIFUpload``."""

    upload: Upload


Shown = Precise | Lsif


class UploadPage(msgspec.Struct, frozen=True, kw_only=True):
    """Either connection."""

    nodes: Sequence[Shown]
    page_info: PageInfo
    wanted: Filter
    is_empty: bool = False


class Tree(msgspec.Struct, frozen=True):
    """``GitTree``."""

    path: str
    repository: Repository
    commit: GitObject


@query.field("preciseIndexes")
def resolve_precise_indexes(
    _: object,
    info: Info,
    repo: str | None = None,
    states: list[str] | None = None,
    query: str | None = None,
    indexer_key: str | None = None,
    dependency_of: str | None = None,
    dependent_of: str | None = None,
    include_deleted: bool | None = False,
    first: int | None = 50,
    after: str | None = None,
    min_position: list[str] | None = None,
) -> UploadPage:
    if dependency_of is not None or dependent_of is not None:
        raise ApiError(Code.NOT_SUPPORTED, "The packages of an index are kept and not searched yet.")
    wanted = Filter(
        repository_id=None if repo is None else ids.repository_id_of(repo, "repo"),
        states=_states(_PRECISE, states),
        deleted=bool(include_deleted),
        find=query or None,
        indexer=indexer_key or None,
    )
    return _page(
        operation_of(info), wanted, first, after, Precise, is_empty=bool(states) and not wanted.states
    )


@query.field("lsifUploads")
def resolve_lsif_uploads(
    _: object,
    info: Info,
    query: str | None = None,
    state: str | None = None,
    include_deleted: bool | None = False,
    first: int | None = 50,
    after: str | None = None,
    min_position: list[str] | None = None,
) -> UploadPage:
    return _lsif_page(info, None, query, state, include_deleted, first, after)


@repository_type.field("lsifUploads")
def resolve_of_repository(
    one: Repository,
    info: Info,
    query: str | None = None,
    state: str | None = None,
    include_deleted: bool | None = False,
    first: int | None = 50,
    after: str | None = None,
) -> UploadPage:
    return _lsif_page(info, one.id, query, state, include_deleted, first, after)


def _lsif_page(
    info: Info,
    repository_id: int | None,
    find: str | None,
    state: str | None,
    include_deleted: bool | None,
    first: int | None,
    after: str | None,
) -> UploadPage:
    wanted = Filter(
        repository_id=repository_id,
        states=_states(_LSIF, None if state is None else [state]),
        deleted=bool(include_deleted),
        find=find or None,
    )
    return _page(operation_of(info), wanted, first, after, Lsif)


def _states(names: Mapping[str, str], wanted: Sequence[str] | None) -> list[UploadState]:
    return [state for state in _S if names[state] in (wanted or ())]


def _page(
    operation: Operation,
    wanted: Filter,
    first: int | None,
    after: str | None,
    kind: type[Precise] | type[Lsif],
    *,
    is_empty: bool = False,
) -> UploadPage:
    if is_empty:  # only states that no upload is ever in
        return UploadPage(nodes=(), page_info=PageInfo(), wanted=wanted, is_empty=True)
    limit = _MAXIMUM if first is None or first < 0 else min(first, _MAXIMUM)
    found = queries.page(operation.reads.snapshot.connection, wanted, limit + 1, _after(after))
    shown, has_more = found[:limit], len(found) > limit
    last = cursor(_CURSOR, shown[-1].id, shown[-1].repository_id) if shown and has_more else None
    reads = operation.reads
    reads.repositories.announce(one.repository_id for one in shown)
    reads.timelines.announce(one.id for one in shown)
    reads.at_default_tips.announce((one.repository_id, one.id) for one in shown)
    return UploadPage(
        nodes=[kind(one) for one in shown],
        page_info=PageInfo(end_cursor=last, has_next_page=has_more),
        wanted=wanted,
    )


def _after(after: str | None) -> tuple[int, int] | None:
    if after is None:
        return None
    key = parse_cursor(_CURSOR, after)
    if len(key) != 2 or not isinstance(key[0], int) or not isinstance(key[1], int):
        raise InputRefused("after", "this is no cursor of this list")
    return key[0], key[1]


def resolve_total_count(page: UploadPage, info: Info) -> int:
    if page.is_empty:
        return 0
    return queries.count(operation_of(info).reads.snapshot.connection, page.wanted)


@precise_type.field("asOf")
def resolve_as_of(_: UploadPage | Precise, info: Info) -> list[AsOf]:
    return as_of(operation_of(info), ["uploads"])


for _connection in connection_types:
    _connection.set_field("totalCount", resolve_total_count)
    _connection.set_field("asOf", resolve_as_of)


@precise_type.field("id")
def resolve_precise_id(one: Precise, _: Info) -> str:
    return ids.upload_node_id(one.upload.id)


@lsif_type.field("id")
def resolve_lsif_id(one: Lsif, _: Info) -> str:
    return ids.node_id(ids.LSIF_UPLOAD, one.upload.id)


@precise_type.field("state")
def resolve_precise_state(one: Precise, _: Info) -> str:
    return _PRECISE[one.upload.state]


@lsif_type.field("state")
def resolve_lsif_state(one: Lsif, _: Info) -> str:
    return _LSIF[one.upload.state]


@precise_type.field("projectRoot")
@lsif_type.field("projectRoot")
def resolve_root(one: Shown, info: Info) -> Tree | None:
    found = operation_of(info).reads.repositories.get(one.upload.repository_id)
    if found is None:
        return None
    return Tree(one.upload.root.rstrip("/"), found, GitObject(one.upload.commit))


@precise_type.field("indexer")
@lsif_type.field("indexer")
def resolve_indexer(one: Shown, _: Info) -> dict[str, str]:
    version = one.upload.indexer_version or one.upload.tool_version or ""
    return {"key": one.upload.indexer, "name": one.upload.indexer, "version": version}


@precise_type.field("placeInQueue")
@lsif_type.field("placeInQueue")
def resolve_place(one: Shown, info: Info) -> int | None:
    if one.upload.state not in (_S.QUEUED, _S.ERRORED):
        return None
    return operation_of(info).reads.upload_queue.get(one.upload.id)


@precise_type.field("auditLogs")
@lsif_type.field("auditLogs")
def resolve_logs(one: Shown, info: Info) -> list[Logged]:
    found = operation_of(info).reads.timelines.get(one.upload.id) or ()
    return [
        Logged(change, one.upload) for change in found if change.repository_id == one.upload.repository_id
    ]


@precise_type.field("isLatestForRepo")
@lsif_type.field("isLatestForRepo")
def resolve_is_latest(one: Shown, info: Info) -> bool:
    upload = one.upload
    return bool(operation_of(info).reads.at_default_tips.get((upload.repository_id, upload.id)))


@precise_type.field("failureDetails")
def resolve_failure(one: Precise, _: Info) -> dict[str, object] | None:
    upload = one.upload
    if upload.failure_code is None:
        return None
    at = upload.failure_byte_offset
    return {
        "code": upload.failure_code,
        "document": upload.failure_document or None,
        "byte_offset": None if at is None else str(at),
    }


@precise_type.field("replacedBy")
def resolve_replaced_by(one: Precise, _: Info) -> str | None:
    return None if one.upload.replaced_by is None else ids.upload_node_id(one.upload.replaced_by)


@precise_type.field("statistics")
def resolve_statistics(one: Precise, _: Info) -> dict[str, object] | None:
    upload = one.upload
    if upload.num_documents is None:
        return None
    return {
        "documents": _int(upload.num_documents),
        "symbols": _int(upload.num_symbols),
        "occurrences": _int(upload.num_occurrences),
        "packages": _int(upload.num_packages),
        "upload_size": None if upload.upload_size is None else str(upload.upload_size),
        "uncompressed_size": str(upload.uncompressed_size or 0),
    }


def _int(number: int | None) -> int:
    """As large as GraphQL's Int can say."""
    return min(number or 0, 2**31 - 1)


@precise_type.field("url")
def resolve_url(one: Precise, info: Info) -> str:
    found = operation_of(info).reads.repositories.get(one.upload.repository_id)
    name = "" if found is None else found.name
    return f"/{name}/-/code-intelligence/uploads/{ids.upload_node_id(one.upload.id)}"


def _attribute(field: str, name: str, *types: ObjectType) -> None:
    def resolve(one: Shown, _: Info) -> object:
        return getattr(one.upload, name)

    for type_ in types:
        type_.set_field(field, resolve)


for _field, _name in {
    "inputCommit": "commit",
    "inputRoot": "root",
    "inputIndexer": "indexer",
    "uploadedAt": "uploaded_at",
    "queuedAt": "queued_at",
    "failure": "failure_message",
}.items():
    _attribute(_field, _name, precise_type, lsif_type)
for _field, _name in {
    "stateReason": "state_reason",
    "uploadedBy": "uploaded_by",
    "processingStartedAt": "started_at",
    "processingFinishedAt": "finished_at",
    "failedAttempts": "num_failures",
    "retryAt": "process_after",
    "visible": "visible",
    "position": "state_position",
}.items():
    _attribute(_field, _name, precise_type)
for _field, _name in {"startedAt": "started_at", "finishedAt": "finished_at"}.items():
    _attribute(_field, _name, lsif_type)


def node_of(operation: Operation, kind: str, key: str) -> Shown | None:
    """The upload behind a node id's kind and key."""
    if not key.isascii() or not key.isdigit():
        return None
    found = operation.reads.uploads.get(int(key))
    if found is None:
        return None
    return Lsif(found) if kind == ids.LSIF_UPLOAD else Precise(found)


bindables = [query, repository_type, precise_type, lsif_type, *connection_types]
