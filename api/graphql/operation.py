"""What the resolvers of one operation share: who asks, one snapshot, batched reads, and the clock."""

import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from api.auth.opaque import OpaqueIds
from api.auth.user import User
from api.commands.errors import ApiError, Code
from api.graphql.batches import Batch
from api.graphql.limits import OperationLimits
from api.graphql.scalars import rfc3339
from api.logged import LoggedEvents
from api.monitoring import Monitoring
from api.operating import Operating
from api.preview.counting import Previewer
from infra.kafka.producer import Publisher
from infra.vault import EMAIL_KIND, Vaults
from projections.chosen import Chosen
from projections.commit_graph import queries as commit_graph
from projections.insights import queries as insights
from projections.judged import Verdict
from projections.reading import Reader, Snapshot
from projections.recordings import queries as recordings
from projections.repositories import queries as repositories
from projections.series_points import queries as points
from projections.uploads import queries as uploads
from schemas.envelope import Event, Position
from schemas.events import SeriesDefinition, SeriesKind

ALL_PROJECTIONS = frozenset({"repositories", "insights", "recordings", "series_points"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What operations need of the process."""

    reader: Reader
    publisher: Publisher
    log: LoggedEvents
    limits: OperationLimits
    previewer: Previewer
    operating: Operating
    vaults: Vaults
    opaque: OpaqueIds
    version: str
    monitoring: Monitoring


class Reads:
    """Batched reads within one snapshot. Who learns of a series announces what will be asked about it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        connection = snapshot.connection
        self.repositories: Batch[int, repositories.Repository] = Batch(
            lambda ids: repositories.by_ids(connection, ids)
        )
        self.series: Batch[int, tuple[SeriesDefinition, ...]] = Batch(self._load_series)
        self.columns: Batch[str, points.SeriesColumns] = Batch(
            lambda ids: points.columns(connection, ids, self.removed)
        )
        self.captures: Batch[str, dict[str, dict[datetime, float]]] = Batch(
            lambda ids: points.captures(connection, ids)
        )
        self.cells: Batch[str, list[points.RepositoryCell]] = Batch(
            lambda ids: {
                one: points.without_removed(cells, self.removed)
                for one, cells in points.cells_of(connection, ids).items()
            }
        )
        self.newest: Batch[str, points.NewestPoint] = Batch(
            lambda ids: points.newest_points(connection, ids, self.removed)
        )
        self.snapshots: Batch[str, dict[int, points.RepositorySnapshot]] = Batch(
            lambda ids: points.snapshots(connection, ids)
        )
        self.graphs: Batch[int, commit_graph.GraphState] = Batch(
            lambda ids: commit_graph.graph_states(connection, ids)
        )
        self.uploads: Batch[int, uploads.Upload] = Batch(lambda ids: uploads.by_ids(connection, ids))
        self.timelines: Batch[int, list[uploads.Change]] = Batch(
            lambda ids: uploads.timelines(connection, ids)
        )
        self.at_default_tips: Batch[tuple[int, int], bool] = Batch(
            lambda keys: commit_graph.at_default_tips(connection, keys)
        )
        """By (repository, upload)."""
        self.jobs: Batch[int, recordings.Progress] = Batch(lambda ids: recordings.progress(connection, ids))

    @cached_property
    def upload_queue(self) -> dict[int, int]:
        """Places of the uploads that wait to be processed."""
        return uploads.places_in_queue(self.snapshot.connection)

    @cached_property
    def removed(self) -> frozenset[int]:
        """Repositories that are not followed any more."""
        return frozenset(repositories.removed_ids(self.snapshot.connection))

    def _load_series(self, insight_ids: Collection[int]) -> dict[int, tuple[SeriesDefinition, ...]]:
        found = insights.series_of(self.snapshot.connection, insight_ids)
        every = [one for series in found.values() for one in series]
        self.columns.announce(one.series_id for one in every)
        self.cells.announce(one.series_id for one in every)
        self.newest.announce(one.series_id for one in every)
        self.snapshots.announce(one.series_id for one in every)
        self.captures.announce(one.series_id for one in every if one.kind is SeriesKind.CAPTURE)
        self.repositories.announce(each for one in every for each in one.repositories or ())
        return found


class Operation:
    """The context value of one execution. Lives in one thread; ``close`` ends its transaction."""

    def __init__(
        self,
        services: Services,
        *,
        user: User,
        idempotency_key: str | None,
        projections: Collection[str],
        started_s: float,
        at: Chosen | None = None,
    ) -> None:
        self.services = services
        self.user = user
        self.idempotency_key = idempotency_key
        self._projections = projections
        self._at = at
        self._ends_s = started_s + services.limits.time_s
        self._open = ExitStack()
        self._reads: Reads | None = None
        self._written: list[dict[str, object]] = []
        self.secrets: Batch[str, str] = Batch(self._load_secrets)
        """Addresses of accounts, by ref."""
        self.personal: Batch[tuple[str, str], str] = Batch(self._load_personal)
        """Personal texts by (subject, as sealed); what was erased is missing."""

    @property
    def projections(self) -> Collection[str]:
        """Those that the operation reads."""
        return self._projections

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    @property
    def reads(self) -> Reads:
        """The snapshot, opened at its first use. Raises ApiError when the operation's time is over."""
        self.check_time()
        if self._reads is None:
            snapshot = self._open.enter_context(
                self.services.reader.snapshot(sorted(self._projections), at=self._at, viewer=self.user.viewer)
            )
            self._reads = Reads(snapshot)
        return self._reads

    def _load_secrets(self, refs: Collection[str]) -> dict[str, str]:
        with self.services.vaults.open() as vault:
            return vault.get_all(refs, kind=EMAIL_KIND)

    def _load_personal(self, sealed: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        with self.services.vaults.open() as vault:
            texts = vault.unseal_all(dict(sealed))
        return {(subject, text): texts[subject] for subject, text in dict(sealed).items() if subject in texts}

    def renew(self) -> None:
        """End the snapshot, so that what follows sees what was written since."""
        self._reads = None
        self._open.close()

    close = renew

    def check_time(self) -> None:
        if time.monotonic() > self._ends_s:
            raise ApiError(
                Code.TIMEOUT, f"The operation took more than {self.services.limits.time_s:g} s: ask for less."
            )

    def note_written(self, event: Event, position: Position, verdict: Verdict) -> None:
        """What a mutation wrote, for the answer's extensions."""
        self._written.append(
            {
                "id": event.id,
                "source": event.source,
                "position": str(position),
                "state": verdict.state,
                "version": verdict.version,
            }
        )

    def extensions(self) -> dict[str, object]:
        """``freshness`` of each projection in the snapshot that answered, and what was ``written``."""
        found: dict[str, object] = {}
        if self._reads is not None:
            found["freshness"] = {
                name: {
                    "generation": self._reads.snapshot.generations[name].number,
                    "appliedUpTo": None if fresh.applied_up_to is None else rfc3339(fresh.applied_up_to),
                    "behind": fresh.behind,
                }
                for name, fresh in sorted(self._reads.snapshot.freshness().items())
            }
        if self._written:
            found["written"] = self._written
        return found


def wait_until_applied(
    reader: Reader,
    projections: Mapping[str, Collection[str]],
    positions: Collection[Position],
    timeout_s: float,
) -> None:
    """Wait until every projection has applied those of ``positions`` whose topic it reads (names -> topics).

    Raises ApiError NOT_YET_APPLIED.
    """
    deadline_s = time.monotonic() + timeout_s
    for name, topics in sorted(projections.items()):
        wanted = [position for position in positions if position.topic in topics]
        if wanted and not reader.wait_for(name, wanted, max(0.0, deadline_s - time.monotonic())):
            raise ApiError(
                Code.NOT_YET_APPLIED,
                f"The projection {name} has not reached the position after {timeout_s:g} s.",
                remedy="Try again, or see how far it is behind: millstream lag.",
                projection=name,
                positions=[str(position) for position in wanted],
            )
