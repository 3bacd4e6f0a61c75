"""``LSIFUploadAuditLog``: one change of an upload."""

import msgspec
from ariadne import ObjectType

from api.graphql import ids
from api.graphql.types.info import Info
from projections.uploads.queries import Change, Upload
from schemas.envelope import Position
from schemas.topics import Topic

log_type = ObjectType("LSIFUploadAuditLog")


class Logged(msgspec.Struct, frozen=True):
    """``LSIFUploadAuditLog``."""

    change: Change
    upload: Upload


@log_type.field("logTimestamp")
def resolve_log_timestamp(one: Logged, _: Info) -> object:
    return one.change.log_timestamp


@log_type.field("reason")
def resolve_log_reason(one: Logged, _: Info) -> str | None:
    return one.change.reason


@log_type.field("operation")
def resolve_log_operation(one: Logged, _: Info) -> str:
    return "CREATE" if one.change.operation == "create" else "MODIFY"


@log_type.field("changedColumns")
def resolve_log_columns(one: Logged, _: Info) -> list[dict[str, str | None]]:
    change = one.change
    if change.to_state is not None:
        return [{"column": "state", "old": change.from_state, "new": change.to_state}]
    return [{"column": change.operation, "old": None, "new": "true"}]


@log_type.field("uploadId")
def resolve_log_upload(one: Logged, _: Info) -> str:
    return ids.upload_node_id(one.upload.id)


@log_type.field("inputCommit")
def resolve_log_commit(one: Logged, _: Info) -> str:
    return one.upload.commit


@log_type.field("inputRoot")
def resolve_log_root(one: Logged, _: Info) -> str:
    return one.upload.root


@log_type.field("inputIndexer")
def resolve_log_indexer(one: Logged, _: Info) -> str:
    return one.upload.indexer


@log_type.field("uploadedAt")
def resolve_log_uploaded_at(one: Logged, _: Info) -> object:
    return one.upload.uploaded_at


@log_type.field("position")
def resolve_log_position(one: Logged, _: Info) -> str:
    return str(Position(Topic.UPLOADS.value, one.change.partition, one.change.offset))


bindables = [log_type]
