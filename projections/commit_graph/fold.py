"""Events of repositories, commits and uploads into the base tables of the graph, and marks on what they change."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from projections.changes import Keep, Ranked, Rule, SparseTable, Upsert, upserts
from projections.dirt import Marks
from projections.folding import Folding
from schemas.events import (
    CommitsIndexed,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    UploadPublished,
    UploadState,
    UploadStateChanged,
)
from schemas.topics import Topic

TOPICS: Final = (Topic.REPOSITORIES, Topic.COMMITS, Topic.UPLOADS)
KEY: Final = "repository_id"
_LOOK: Final = (KEY, "pushed_offset", "look_id")
_GRAPH_RULES: Final[Mapping[str, Rule]] = dict.fromkeys(
    ("removed", "pushed_offset", "pushed_position", "pushed_at"), Keep.LAST
)
_LOOK_RULES: Final[Mapping[str, Rule]] = dict.fromkeys(("batches", "boundary"), Keep.FIRST)
_REF_RULES: Final[Mapping[str, Rule]] = dict.fromkeys(("tip", "is_default", "committed_at"), Keep.FIRST)
_COMMIT_RULES: Final[Mapping[str, Rule]] = dict.fromkeys(
    ("parents", "committed_at", "known"), Ranked("known")
)
_UPLOAD_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("commit_bytea", "root", "indexer", "published_at"), Keep.FIRST),
    "replaced_by": Keep.FIRST,
    "gone": Keep.LAST,
}
_GONE: Final = (UploadState.DELETING, UploadState.DELETED)


class Changes(msgspec.Struct, frozen=True):
    """``told_of``: repositories of which a part of a look came."""

    upserts: list[Upsert]
    told_of: list[int]


class _Tables:
    def __init__(self) -> None:
        self.graphs = SparseTable("lsif_commit_graphs", (KEY,), _GRAPH_RULES)
        self.looks = SparseTable("lsif_commit_looks", (*_LOOK, "batch"), _LOOK_RULES)
        self.refs = SparseTable("lsif_refs", (*_LOOK, "kind", "name"), _REF_RULES)
        self.commits = SparseTable("lsif_commits", (KEY, "commit_bytea"), _COMMIT_RULES)
        self.uploads = SparseTable("lsif_graph_uploads", (KEY, "upload_id"), _UPLOAD_RULES)
        self.marks = Marks("lsif_dirty_repositories", KEY, TOPICS)
        self.told_of: set[int] = set()

    def changes(self) -> Changes:
        tables = (self.graphs, self.looks, self.refs, self.commits, self.uploads, self.marks.rows)
        return Changes(upserts(tables), sorted(self.told_of))


def fold(events: Sequence[Folding]) -> Changes:
    """The rows that ``events`` change."""
    tables = _Tables()
    for folding in events:
        match folding.event.data:
            case RepositoryPushed() as data:
                tables.graphs.set(
                    (data.repository_id,),
                    pushed_offset=folding.position.offset,
                    pushed_position=str(folding.position),
                    pushed_at=folding.appended_at,
                )
                tables.marks.mark(data.repository_id, folding)
            case RepositoryRegistered() as data:
                tables.graphs.set((data.repository_id,), removed=False)
                tables.marks.mark(data.repository_id, folding)
            case RepositoryRemoved() as data:
                tables.graphs.set((data.repository_id,), removed=True)
                tables.marks.mark(data.repository_id, folding)
            case CommitsIndexed() as data:
                _told(tables, data)
                tables.marks.mark(data.repository_id, folding)
            case UploadPublished() as data:
                _published(tables, data, folding)
                tables.marks.mark(data.repository_id, folding)
            case UploadStateChanged() as data:
                if data.to_state in _GONE:
                    tables.uploads.set((data.repository_id, data.upload_id), gone=True)
                if data.to_state in _GONE or UploadState.COMPLETED in (data.from_state, data.to_state):
                    tables.marks.mark(data.repository_id, folding)
            case _:
                pass
    return tables.changes()


def _told(tables: _Tables, data: CommitsIndexed) -> None:
    look = (data.repository_id, data.pushed_offset, data.look_id)
    tables.told_of.add(data.repository_id)
    tables.looks.set((*look, data.batch), batches=data.of, boundary=data.boundary)
    for ref in data.refs:
        tables.refs.set(
            (*look, ref.kind.value, ref.name),
            tip=bytes.fromhex(ref.tip),
            is_default=ref.default,
            committed_at=ref.committed_at,
        )
    for commit in data.commits:
        tables.commits.set(
            (data.repository_id, bytes.fromhex(commit.sha)),
            parents=bytes.fromhex("".join(commit.parents)),
            committed_at=commit.committed_at,
            known=0 if commit.cut_off else 1,
        )


def _published(tables: _Tables, data: UploadPublished, folding: Folding) -> None:
    tables.uploads.set(
        (data.repository_id, data.upload_id),
        commit_bytea=bytes.fromhex(data.commit),
        root=data.root,
        indexer=data.indexer,
        published_at=folding.appended_at,
    )
    for replaced in data.replaces:
        if replaced != data.upload_id:
            tables.uploads.set((data.repository_id, replaced), replaced_by=data.upload_id)
