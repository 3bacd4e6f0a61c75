"""The base rows of one repository as what its graph is made of. Pure."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from projections.commit_graph.model import Base, Ref, Upload


class LookRow(msgspec.Struct, frozen=True):
    """One part of a look."""

    pushed_offset: int
    look_id: str
    batch: int
    batches: int


class RefRow(msgspec.Struct, frozen=True):
    """One ref of a look."""

    pushed_offset: int
    look_id: str
    kind: str
    name: str
    tip: bytes
    is_default: bool
    committed_at: datetime


class UploadRow(msgspec.Struct, frozen=True):
    """What is known of one upload; of one that was not published yet there is no commit."""

    upload_id: int
    commit: bytes | None
    root: str | None
    indexer: str | None
    replaced_by: int | None
    gone: bool | None


def base_of(
    removed: bool | None,
    pushed_at: datetime | None,
    looks: Iterable[LookRow],
    refs: Iterable[RefRow],
    uploads: Iterable[UploadRow],
) -> Base:
    """What the rows say together, but for the commits. Of a repository that was removed nothing is visible."""
    look = newest_whole(looks)
    return Base(
        commits={},
        refs=tuple(
            Ref(
                name=row.name,
                is_tag=row.kind == "tag",
                is_default=row.is_default,
                tip=row.tip,
                committed_at=row.committed_at,
            )
            for row in refs
            if (row.pushed_offset, row.look_id) == look
        ),
        uploads=() if removed else tuple(found for row in uploads if (found := visible(row)) is not None),
        pushed_at=pushed_at,
    )


def newest_whole(looks: Iterable[LookRow]) -> tuple[int, str] | None:
    """The greatest look of which all parts are there."""
    parts: dict[tuple[int, str], set[int]] = {}
    of: dict[tuple[int, str], int] = {}
    for row in looks:
        look = (row.pushed_offset, row.look_id)
        parts.setdefault(look, set()).add(row.batch)
        of[look] = max(row.batches, of.get(look, 0))
    return max((look for look, found in parts.items() if len(found) == of[look]), default=None)


def visible(row: UploadRow) -> Upload | None:
    """The upload, when it answers: published, not replaced, not deleted."""
    if row.commit is None or row.root is None or row.indexer is None:
        return None
    if row.replaced_by is not None or row.gone:
        return None
    return Upload(row.upload_id, row.commit, row.root, row.indexer)


def commits_of(rows: Iterable[tuple[object, ...]]) -> dict[bytes, tuple[bytes, ...]]:
    """Commits and their parents. A row is a commit's id, and the ids of its parents one after the other."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for commit, parents in rows:
        if isinstance(commit, bytes):
            found[commit] = _split(parents, len(commit)) if isinstance(parents, bytes) else ()
    return found


def _split(parents: bytes, width: int) -> tuple[bytes, ...]:
    if len(parents) == width:
        return (parents,)
    return tuple(parents[at : at + width] for at in range(0, len(parents), width))
