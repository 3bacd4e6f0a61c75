"""Reads over the uploads projection, inside a snapshot (``projections.reading``)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Text,
    and_,
    any_,
    cast,
    false,
    func,
    select,
    true,
)

from infra.blobs import BlobRef
from projections.uploads.tables import AUDIT_LOGS, OPEN, UPLOADS
from schemas.uploads.events import UploadState

_C: Final = UPLOADS.c
_KNOWN: Final = _C.uploaded_at.is_not(None)
_QUEUED: Final = _C.state.in_((UploadState.QUEUED.value, UploadState.ERRORED.value))
_ORDER: Final = (_C.id.desc(), _C.repository_id)


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``lsif_uploads``."""

    repository_id: int
    id: int
    commit: str
    root: str
    indexer: str
    indexer_version: str
    content_type: str
    uploaded_by: str
    uploaded_at: datetime
    state: str
    state_reason: str
    state_changed_at: datetime
    state_position: str
    queued_at: datetime | None
    process_after: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    num_failures: int
    failure_message: str | None
    failure_code: str | None
    failure_document: str | None
    failure_byte_offset: int | None
    upload_size: int | None
    blob_uri: str | None
    blob_sha256: str | None
    uncompressed_size: int | None
    num_documents: int | None
    num_symbols: int | None
    num_occurrences: int | None
    num_packages: int | None
    tool_name: str | None
    tool_version: str | None
    text_document_encoding: str | None
    manifest_uri: str | None
    manifest_size: int | None
    manifest_sha256: str | None
    published_at: datetime | None
    replaced_by: int | None
    content_removed_at: datetime | None
    visible: bool

    @property
    def blob(self) -> BlobRef | None:
        """The index as it was uploaded."""
        if self.blob_uri is None or self.upload_size is None or self.blob_sha256 is None:
            return None
        return BlobRef(self.blob_uri, self.upload_size, self.blob_sha256)

    @property
    def manifest(self) -> BlobRef | None:
        """Where its documents are."""
        if self.manifest_uri is None or self.manifest_size is None or self.manifest_sha256 is None:
            return None
        return BlobRef(self.manifest_uri, self.manifest_size, self.manifest_sha256)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an upload's timeline. ``operation`` is create, modify, indexed, published or content_removed."""

    repository_id: int
    upload_id: int
    partition: int
    offset: int
    operation: str
    from_state: str | None
    to_state: str | None
    reason: str | None
    attempt: int | None
    log_timestamp: datetime
    appended_at: datetime
    source: str
    event_id: str


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which uploads are wanted. ``states`` empty: all but deleted ones, unless ``deleted`` too."""

    repository_id: int | None = None
    states: Sequence[UploadState] = ()
    deleted: bool = False
    find: str | None = None
    indexer: str | None = None
    visible: bool | None = None


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as due at ``now``: of those whose parts are awaited only what was announced until ``announced_until``.

    ``looked_at``: positions of the last change of those that were looked at lately, in vain.
    """

    now: datetime
    announced_until: datetime
    looked_at: Collection[str] = ()


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What events say of one upload: its index as it came (by hash), and the manifest of its documents."""

    upload_id: int
    repository_id: int
    index: str | None
    manifest: BlobRef | None


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """``kept`` is of uploads that are not deleted, ``left`` of deleted ones of which something may still be there.

    ``processing_since``: when the oldest began of those that are being read now.
    """

    kept: list[Content]
    left: list[Content]
    processing_since: datetime | None


def by_ids(connection: Connection, ids: Collection[int]) -> dict[int, Upload]:
    """The known ones of ``ids``; of two repositories that state one id the one with the smaller id."""
    wanted = _C.id == any_(cast(list(ids), ARRAY(BigInteger)))
    found = _read(connection, wanted & _KNOWN)
    return {one.id: one for one in reversed(found)}


def by_id(connection: Connection, upload_id: int) -> Upload | None:
    """The upload of this id."""
    return by_ids(connection, (upload_id,)).get(upload_id)


def open_repositories(connection: Connection) -> list[int]:
    """Repositories that have uploads with which something is still to be done."""
    return list(connection.scalars(select(_C.repository_id).where(OPEN).distinct()))


def due_uploads(
    connection: Connection, repository_ids: Collection[int], due: Due, limit: int
) -> list[Upload]:
    """Those of these repositories with which something may have to be done now, the oldest first.

    At most ``limit`` that are to be read or to expire, as many that a worker has or had in hand, as many that are being deleted:
    what waits in one place, or in one repository, holds up nothing in another.
    """
    passed = _C.process_after.is_(None) | (_C.process_after <= due.now)
    looked_at = func.unnest(cast(list(due.looked_at), ARRAY(Text))).column_valued("looked_at")
    late = (_C.state == UploadState.UPLOADING.value) & (_C.uploaded_at <= due.announced_until)
    arrived = (late | (_QUEUED & passed)) & _C.state_position.not_in(select(looked_at))
    in_hand = _C.state.in_((UploadState.PROCESSING.value, UploadState.COMPLETED.value))
    ending = _C.state == UploadState.DELETING.value
    found: list[Upload] = []
    for kind in (arrived, in_hand, ending):
        found += _in_turn(connection, repository_ids, and_(OPEN, kind), limit)
    return sorted(found, key=lambda one: (one.id, one.repository_id))


def living_of(connection: Connection, repository_ids: Collection[int], limit: int) -> list[Upload]:
    """Those of these repositories that neither are deleted nor being deleted, the oldest first, at most ``limit``."""
    ended = (UploadState.DELETING.value, UploadState.DELETED.value)
    return _in_turn(connection, repository_ids, _KNOWN & _C.state.not_in(ended), limit)


def of_key(connection: Connection, one: Upload) -> list[Upload]:
    """Completed uploads of the same repository, commit, root and indexer, the newest first."""
    return _read(
        connection,
        (_C.repository_id == one.repository_id)
        & (_C.commit == one.commit)
        & (_C.root == one.root)
        & (_C.indexer == one.indexer)
        & (_C.state == UploadState.COMPLETED.value),
    )


def newest_like(connection: Connection, one: Upload) -> Upload | None:
    """The newest completed upload of the same repository, root and indexer, at whatever commit."""
    row = connection.execute(
        select(UPLOADS)
        .where(
            _C.repository_id == one.repository_id,
            _C.root == one.root,
            _C.indexer == one.indexer,
            _C.id != one.id,
            _C.state == UploadState.COMPLETED.value,
            _C.manifest_sha256.is_not(None),
        )
        .order_by(*_ORDER)
        .limit(1)
    ).first()
    return None if row is None else _upload(row)


def page(
    connection: Connection, wanted: Filter, first: int, after: tuple[int, int] | None = None
) -> list[Upload]:
    """At most ``first`` uploads, the newest first, behind (id, repository id)."""
    where = _wanted(wanted)
    if after is not None:
        where &= (_C.id < after[0]) | ((_C.id == after[0]) & (_C.repository_id > after[1]))
    rows = connection.execute(select(UPLOADS).where(where).order_by(*_ORDER).limit(first)).all()
    return [_upload(row) for row in rows]


def count(connection: Connection, wanted: Filter) -> int:
    """How many there are."""
    return connection.scalars(select(func.count()).select_from(UPLOADS).where(_wanted(wanted))).one()


def places_in_queue(connection: Connection) -> dict[int, int]:
    """The place of every upload that waits to be processed, from 1, in the order in which they are."""
    place = func.row_number().over(order_by=(_C.id, _C.repository_id)).label("place")
    rows = connection.execute(select(_C.id, place).where(_QUEUED, _KNOWN))
    return {row.id: row.place for row in rows}


def timelines(connection: Connection, ids: Collection[int]) -> dict[int, list[Change]]:
    """What became of each of these uploads, in order."""
    columns = AUDIT_LOGS.c
    rows = connection.execute(
        select(AUDIT_LOGS)
        .where(columns.upload_id == any_(cast(list(ids), ARRAY(BigInteger))))
        .order_by(columns.repository_id, columns.partition, columns.offset)
    )
    found: dict[int, list[Change]] = {}
    for row in rows:
        found.setdefault(row.upload_id, []).append(Change(**row._mapping))
    return found


def contents(connection: Connection) -> Contents:
    """Of all uploads."""
    is_deleted = func.coalesce(_C.state == UploadState.DELETED.value, False)
    rows = connection.execute(
        select(
            _C.id,
            _C.repository_id,
            _C.blob_sha256,
            _C.manifest_uri,
            _C.manifest_size,
            _C.manifest_sha256,
            is_deleted.label("is_deleted"),
        ).where(
            _C.blob_sha256.is_not(None) | _C.manifest_sha256.is_not(None),
            ~is_deleted | _C.content_removed_at.is_(None),
        )
    ).all()
    since = connection.scalar(select(func.min(_C.started_at)).where(_C.state == UploadState.PROCESSING.value))
    found: dict[bool, list[Content]] = {False: [], True: []}
    for row in rows:
        has_manifest = row.manifest_sha256 is not None
        found[row.is_deleted].append(
            Content(
                upload_id=row.id,
                repository_id=row.repository_id,
                index=row.blob_sha256,
                manifest=BlobRef(row.manifest_uri, row.manifest_size, row.manifest_sha256)
                if has_manifest
                else None,
            )
        )
    return Contents(kept=found[False], left=found[True], processing_since=since)


def is_anything_left(connection: Connection) -> bool:
    """Whether there is a deleted upload of which something may still be there."""
    query = select(_C.id).where(
        _C.state == UploadState.DELETED.value,
        _C.content_removed_at.is_(None),
        _C.blob_sha256.is_not(None) | _C.manifest_sha256.is_not(None),
    )
    return connection.execute(query.limit(1)).first() is not None


def _wanted(wanted: Filter) -> ColumnElement[bool]:
    where: ColumnElement[bool] = _KNOWN
    if wanted.repository_id is not None:
        where &= _C.repository_id == wanted.repository_id
    if wanted.states:
        where &= _C.state == any_(cast([state.value for state in wanted.states], ARRAY(Text)))
    elif not wanted.deleted:
        where &= _C.state != UploadState.DELETED.value
    if wanted.indexer is not None:
        where &= _C.indexer == wanted.indexer
    if wanted.visible is not None:
        where &= _C.visible.is_(true() if wanted.visible else false())
    if wanted.find:
        texts = (_C.commit, _C.root, _C.indexer, _C.failure_message)
        matches: ColumnElement[bool] = false()
        for column in texts:
            matches |= func.coalesce(column, "").icontains(wanted.find, autoescape=True)
        where &= matches
    return where


def _read(connection: Connection, where: ColumnElement[bool]) -> list[Upload]:
    rows = connection.execute(select(UPLOADS).where(where).order_by(*_ORDER)).all()
    return [_upload(row) for row in rows]


def _in_turn(
    connection: Connection, repository_ids: Collection[int], where: ColumnElement[bool], limit: int
) -> list[Upload]:
    """The oldest of each repository, then the second of each, and so on."""
    if not repository_ids:
        return []
    turn = func.row_number().over(partition_by=_C.repository_id, order_by=_C.id).label("turn")
    listed = _C.repository_id == any_(cast(list(repository_ids), ARRAY(BigInteger)))
    chosen = select(_C.repository_id, _C.id, turn).where(listed, where).subquery("chosen")
    own = chosen.c
    query = (
        select(UPLOADS)
        .join(chosen, (_C.repository_id == own.repository_id) & (_C.id == own.id))
        .order_by(own.turn, own.id, own.repository_id)
        .limit(limit)
    )
    return [_upload(row) for row in connection.execute(query)]


def _upload(row: Row[tuple[object, ...]]) -> Upload:
    return Upload(**row._mapping)
