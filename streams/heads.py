"""The heads: agents that decide and touch no clone. Planner, dispatcher, reconciler and recorder; what begins the runs of
monitors, and what sends for them; what takes away what nobody needs any more.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from infra.blobs import BlobStore
from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HANDS_APP, HEADS_APP
from projections.reading import Reader
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Timer
from streams.insights.planner import Planner
from streams.insights.recorder import Recorder
from streams.insights.retries import RetryPlanner
from streams.leases import Leases
from streams.log_ends import TopicEnds
from streams.monitors import doors
from streams.monitors.delivery.carrier import Carrier
from streams.monitors.firer import Firer
from streams.monitors.forgetting import OF_ACCOUNTS, OF_MONITORS, UnnamedSecrets
from streams.monitors.links import external_url
from streams.monitors.requester import Requester
from streams.monitors.sender import Sender, SenderPolicy
from streams.monitors.ticking import MonitorClock
from streams.obligations.reconciler import Reconciler
from streams.obligations.registry import OBLIGATIONS
from streams.recordings.dispatcher import Dispatcher, DispatchPolicy, Office
from streams.recordings.token_bucket import TokenBucket
from streams.slots import Slot
from streams.uploads.remover import Remover

_POOL_SIZE = 4


class Heads(NamedTuple):
    """What the app runs."""

    agents: Sequence[AgentSpec]
    timers: Sequence[Timer]


def heads(settings: Settings, slot: Slot, context: Context, is_leader: Callable[[], bool]) -> Heads:
    """All of them. Raises KafkaUnreachable, TopicMissing."""
    admin = KafkaAdmin(settings)
    database = engine(settings, Role.WORKER, pool_size=_POOL_SIZE, name="heads")
    reader = Reader(database)
    log_ends = TopicEnds(admin)
    planner = Planner(reader, log_ends)
    dispatcher = Dispatcher(
        Office(
            reader, log_ends, slot, live_workers=lambda: slot.live_of(HANDS_APP), bucket=TokenBucket(database)
        ),
        DispatchPolicy(handlers=settings.worker_handlers, partitions=admin.partitions(Topic.REPOSITORIES)),
        context,
        is_leader,
    )
    reconciler = Reconciler(OBLIGATIONS, reader, log_ends, admin, context)
    retries = RetryPlanner(reader, log_ends)
    recorder = Recorder(reader, log_ends, context)
    opened = doors.open_doors(settings, reader, Role.WORKER)
    firer = Firer(reader, log_ends, admin, admin.partitions(Topic.TRIGGERS))
    clock = MonitorClock(reader, log_ends, admin, firer, context)
    requester = Requester(reader, context)
    blobs = BlobStore(settings.effective_blob_url)
    sender = Sender(
        reader,
        log_ends,
        blobs,
        opened,
        Carrier.of(settings, opened),
        Leases(slot, f"{HEADS_APP}.sender"),
        SenderPolicy(settings.action_max_age_s, external_url(settings)),
    )
    grace = timedelta(hours=settings.removal_grace_hours)
    remover = Remover(reader, log_ends, blobs, context, grace)
    forgetting = [
        UnnamedSecrets(naming, reader, log_ends, opened.secrets, context, grace)
        for naming in (OF_MONITORS, OF_ACCOUNTS)
    ]
    return Heads(
        (
            *planner.specs,
            retries.spec,
            *recorder.specs,
            *firer.specs,
            requester.spec,
            sender.spec,
        ),
        (
            *dispatcher.timers,
            reconciler.timer,
            recorder.timer,
            *clock.timers,
            requester.timer,
            remover.timer,
            *(one.timer for one in forgetting),
        ),
    )
