"""Where repositories are, and which cannot be counted now: those that are still cloned, and those that were removed.

What waits for a removed one is held and not refused: registered again, it is planned under the same request ids, and
a refusal would be their final outcome.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from projections.recordings.queries import Waiting
from projections.repositories import queries as repositories
from schemas.events import DispatchedRequest, RepositoryLocation


class Readiness:
    """Remembers what is not ready by repository, so that thousands of these cost a handful of reads, once."""

    def __init__(self) -> None:
        self.not_ready: set[int] = set()

    def located(
        self, connection: Connection, waiting: Iterable[Waiting], timeout_s: float
    ) -> list[DispatchedRequest]:
        """Those whose repository is ready, or failed to become so (the runner says why), with its place."""
        listed = list(waiting)
        known = repositories.by_ids(connection, {one.request.repository_id for one in listed})
        found: list[DispatchedRequest] = []
        for one in listed:
            repository = known.get(one.request.repository_id)
            if repository is None or not repositories.can_be_counted(repository):
                self.not_ready.add(one.request.repository_id)
                continue
            location = RepositoryLocation(
                path=repository.path,
                clone_url=repository.clone_url,
                default_branch=repository.default_branch,
            )
            found.append(
                DispatchedRequest(
                    request=one.request, attempt=one.attempts + 1, location=location, timeout_s=timeout_s
                )
            )
        return found

    def forget_settled(self, connection: Connection) -> None:
        """Repositories that have become ready since, or came back, are looked at again."""
        if self.not_ready:
            self.not_ready -= repositories.settled(connection, self.not_ready)
