"""Events of the repositories topic into rows of ``repo_names``."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Rule, SparseTable, Upsert
from projections.folding import Folding
from schemas.events import (
    RepositoryCloneFailed,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
)

_RULES: Final[Mapping[str, Rule]] = {
    "name": Keep.LAST,
    "path": Keep.LAST,
    "clone_url": Keep.LAST,
    "fork": Keep.LAST,
    "archived": Keep.LAST,
    "private": Keep.LAST,
    "default_branch": Keep.LAST,
    "tip": Keep.LAST,
    "shallow": Keep.LAST,
    "registered_at": Keep.FIRST,
    "registered_position": Keep.FIRST,
    "removed_at": Keep.LAST,
    "clone_state": Keep.LAST,
    "clone_error": Keep.LAST,
    "pushed_offset": Keep.LAST,
    "refs_fingerprint": Keep.LAST,
}


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change. A second registration renews the properties and keeps the first date."""
    repositories = SparseTable("repo_names", ("id",), _RULES)
    for folding in events:
        match folding.event.data:
            case RepositoryRegistered() as data:
                repositories.set(
                    (data.repository_id,),
                    name=data.name,
                    path=data.path,
                    clone_url=data.clone_url,
                    fork=data.fork,
                    archived=data.archived,
                    private=data.private,
                    registered_at=folding.event.time,
                    registered_position=str(folding.position),
                    removed_at=None,
                )
            case RepositoryUpdated() as data:
                changed = {
                    "fork": data.fork,
                    "archived": data.archived,
                    "private": data.private,
                    "default_branch": data.default_branch,
                }
                repositories.set(
                    (data.repository_id,),
                    **{name: value for name, value in changed.items() if value is not None},
                )
            case RepositoryRenamed() as data:
                repositories.set((data.repository_id,), name=data.name)
            case RepositoryRemoved() as data:
                repositories.set((data.repository_id,), removed_at=folding.event.time)
            case RepositoryPushed() as data:
                repositories.set(
                    (data.repository_id,),
                    default_branch=data.default_branch,
                    tip=data.tip,
                    shallow=data.shallow,
                    clone_state="ready",
                    clone_error=None,
                    pushed_offset=folding.position.offset,
                    refs_fingerprint=data.refs_fingerprint,
                )
            case RepositoryCloneFailed() as data:
                repositories.set(
                    (data.repository_id,), clone_state="failed", clone_error=f"{data.reason}: {data.message}"
                )
            case _:
                pass
    return repositories.upserts()
