"""What of the commit graph hangs on ``Repository``: how current it is, and which uploads answer at a commit."""

from ariadne import ObjectType

from api.graphql import ids
from api.graphql.types.info import Info, operation_of
from projections.commit_graph import queries
from projections.commit_graph.queries import GraphState, VisibleUpload
from projections.repositories.queries import Repository

repository_type = ObjectType("Repository")
visible_type = ObjectType("VisibleUpload")


@repository_type.field("codeIntelligenceCommitGraph")
def resolve_state(one: Repository, info: Info) -> GraphState:
    return operation_of(info).reads.graphs.get(one.id) or queries.NOTHING_KNOWN


@repository_type.field("visibleUploads")
def resolve_visible(one: Repository, info: Info, commit: str) -> list[VisibleUpload]:
    return queries.nearest_uploads(operation_of(info).reads.snapshot.connection, one.id, commit)


@visible_type.field("id")
def resolve_id(upload: VisibleUpload, _: Info) -> str:
    return ids.node_id(ids.SCIP_UPLOAD, upload.upload_id)


@visible_type.field("inputCommit")
def resolve_commit(upload: VisibleUpload, _: Info) -> str:
    return upload.commit


@visible_type.field("inputRoot")
def resolve_root(upload: VisibleUpload, _: Info) -> str:
    return upload.root


@visible_type.field("inputIndexer")
def resolve_indexer(upload: VisibleUpload, _: Info) -> str:
    return upload.indexer


bindables = [repository_type, visible_type]
