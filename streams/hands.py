"""The hands: every agent that touches a clone. One group, so that partition n of all its topics is one worker's."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from infra.blobs import BlobStore
from infra.drafts import Drafts
from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HANDS_APP
from projections.reading import Reader
from projections.settings import queries as site_settings
from streams.agent import AgentSpec, Context, Timer
from streams.commits.indexer import CommitIndexer, ProjectedCoverages
from streams.leases import Leases
from streams.log_ends import TopicEnds
from streams.monitors import doors
from streams.monitors.evaluator import Evaluator
from streams.monitors.evaluator import Office as EvaluatorOffice
from streams.recordings.globs import path_pattern
from streams.recordings.pool import CountingPool
from streams.recordings.runner import QueryRunner, RunnerPolicy
from streams.repositories.clones import Clones
from streams.repositories.mirror import ClonePolicy
from streams.repositories.places import Memory, ProjectedPlaces
from streams.repositories.poller import Poller
from streams.repositories.registrar import Registrar
from streams.search.engine import SearchLimits
from streams.slots import Slot
from streams.uploads.agent import UploadAgent
from streams.uploads.desk import Desk
from streams.uploads.lifecycle import UploadPolicy

_POOL_SIZE = 4


def search_limits(settings: Settings) -> SearchLimits:
    """What is searched, from the settings."""
    return SearchLimits(
        settings.search_max_file_size_bytes, tuple(path_pattern(glob) for glob in settings.search_large_files)
    )


class Hands(NamedTuple):
    """What the app runs; ``warm_up`` starts the counting processes."""

    agents: Sequence[AgentSpec]
    timers: Sequence[Timer]
    warm_up: Callable[[], Awaitable[None]]


def hands(
    settings: Settings,
    slot: Slot,
    context: Context,
    partitions: int,
    assigned: Callable[[], Mapping[str, Sequence[int]]],
) -> Hands:
    """Registrar, poller, query runner, commit indexer, uploads and evaluator. Call it on the event loop that they will run on."""
    limits = search_limits(settings)
    clones = Clones(settings.home, ClonePolicy())
    leases = Leases(slot, HANDS_APP)
    reader = Reader(engine(settings, Role.WORKER, pool_size=_POOL_SIZE, name="hands"))
    log_ends = TopicEnds(KafkaAdmin(settings))
    places = ProjectedPlaces(reader)
    registrar = Registrar(clones, leases, places, Memory())
    poller = Poller(
        registrar,
        places,
        leases,
        context,
        partitions=partitions,
        assigned=assigned,
        interval_s=lambda: _poll_interval_s(reader),
    )
    runner = QueryRunner(
        clones,
        leases,
        interactive=CountingPool(1, limits),
        background=CountingPool(settings.worker_handlers, limits),
        policy=RunnerPolicy(),
    )
    indexer = CommitIndexer(clones, leases, places, ProjectedCoverages(reader))
    uploads = UploadAgent(
        Desk(reader, log_ends, context, partitions),
        clones,
        Leases(slot, f"{HANDS_APP}.uploads"),
        Drafts(BlobStore(settings.effective_blob_url)),
        blob_url=settings.effective_blob_url,
        assigned=assigned,
        at_once=max(1, settings.worker_handlers // 2),
        policy=UploadPolicy(),
    )
    evaluator = Evaluator(
        EvaluatorOffice(
            reader=reader,
            log_ends=log_ends,
            blobs=BlobStore(settings.effective_blob_url),
            may_see=doors.open_doors(settings, reader, Role.WORKER).may_see,
            partitions=partitions,
        ),
        clones,
        leases,
    )
    agents = (registrar.spec, *runner.specs, indexer.spec, evaluator.spec)
    return Hands(agents, (poller.timer, uploads.timer), runner.warm_up)


def _poll_interval_s(reader: Reader) -> float:
    with reader.snapshot(("settings",)) as snapshot:
        return site_settings.values(snapshot.connection).poll_interval_s
