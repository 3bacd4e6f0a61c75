"""The heads: agents that decide and touch no clone. Planner, dispatcher and reconciler; the recorder and the
senders have their place here.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HANDS_APP
from projections.reading import Reader
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Timer
from streams.insights.planner import Planner
from streams.insights.recorder import Recorder
from streams.insights.retries import RetryPlanner
from streams.log_ends import TopicEnds
from streams.obligations.reconciler import Reconciler
from streams.obligations.registry import OBLIGATIONS
from streams.recordings.dispatcher import Dispatcher, DispatchPolicy, Office
from streams.recordings.token_bucket import TokenBucket
from streams.slots import Slot

_POOL_SIZE = 4


class Heads(NamedTuple):
    """What the app runs."""

    agents: Sequence[AgentSpec]
    timers: Sequence[Timer]


def heads(settings: Settings, slot: Slot, context: Context, is_leader: Callable[[], bool]) -> Heads:
    """Planner, recorder, dispatcher and reconciler. Raises KafkaUnreachable, TopicMissing."""
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
    return Heads(
        (*planner.specs, retries.spec, *recorder.specs),
        (*dispatcher.timers, reconciler.timer, recorder.timer),
    )
