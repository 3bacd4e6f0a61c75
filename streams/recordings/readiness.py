"""Where repositories are, and which cannot be counted now: those that are still cloned, and those that were removed.

What waits for a removed one is held and not refused: registered again, it is planned under the same request ids, and
a refusal would be their final outcome.
"""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection

from projections.recordings.queries import Waiting
from projections.repositories import queries as repositories
from projections.repositories.queries import Repository
from schemas.events import DispatchedRequest, RepositoryLocation, SnapshotTarget


class Located(msgspec.Struct, frozen=True):
    """``ready`` have their place; ``false`` ask for the state of a push that was never said."""

    ready: list[DispatchedRequest]
    false: list[Waiting]


class Readiness:
    """Remembers what is not ready by repository, so that thousands of these cost a handful of reads, once."""

    def __init__(self) -> None:
        self.not_ready: set[int] = set()

    def located(self, connection: Connection, waiting: Iterable[Waiting], timeout_s: float) -> Located:
        """Those whose repository is ready, or failed to become so (the runner says why), with its place."""
        listed = list(waiting)
        known = repositories.by_ids(connection, {one.request.repository_id for one in listed})
        found = Located([], [])
        for one in listed:
            repository = known.get(one.request.repository_id)
            if repository is None or not repositories.can_be_counted(repository):
                self.not_ready.add(one.request.repository_id)
                continue
            if not _was_pushed(one.request.snapshot, repository):
                found.false.append(one)
                continue
            location = RepositoryLocation(
                path=repository.path,
                clone_url=repository.clone_url,
                default_branch=repository.default_branch,
            )
            found.ready.append(
                DispatchedRequest(
                    request=one.request, attempt=one.attempts + 1, location=location, timeout_s=timeout_s
                )
            )
        return found

    def forget_settled(self, connection: Connection) -> None:
        """Repositories that have become ready since, or came back, are looked at again."""
        if self.not_ready:
            self.not_ready -= repositories.settled(connection, self.not_ready)


def _was_pushed(target: SnapshotTarget | None, repository: Repository) -> bool:
    """Whether a push said ``target``, as far as that is known: of the newest one, all; of earlier ones, that they were.

    Who asks has read the push in this projection. The greatest offset stays in the newest point: one that nobody
    pushed would never be replaced.
    """
    if target is None:
        return True
    if repository.pushed_offset is None or target.pushed_offset > repository.pushed_offset:
        return False
    return target.pushed_offset < repository.pushed_offset or target.commit == repository.tip
