"""The hands: every agent that touches a clone. One group, so that partition n of all its topics is one worker's."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from infra.settings import Settings
from infra.topics import HANDS_APP
from streams.agent import AgentSpec
from streams.leases import Leases
from streams.recordings.globs import path_pattern
from streams.recordings.pool import CountingPool
from streams.recordings.runner import QueryRunner, RunnerPolicy
from streams.repositories.clones import Clones
from streams.repositories.mirror import ClonePolicy
from streams.repositories.registrar import Registrar
from streams.search.engine import GitEngine, SearchLimits
from streams.slots import Slot


def search_limits(settings: Settings) -> SearchLimits:
    """What is searched, from the settings."""
    return SearchLimits(
        settings.search_max_file_size_bytes, tuple(path_pattern(glob) for glob in settings.search_large_files)
    )


class Hands(NamedTuple):
    """What the app runs; ``warm_up`` starts the counting processes."""

    agents: Sequence[AgentSpec]
    warm_up: Callable[[], Awaitable[None]]


def hands(settings: Settings, slot: Slot) -> Hands:
    """Registrar and query runner. Call it on the event loop that they will run on."""
    limits = search_limits(settings)
    clones = Clones(settings.home, ClonePolicy())
    leases = Leases(slot, HANDS_APP)
    registrar = Registrar(clones, GitEngine(limits), leases)
    runner = QueryRunner(
        clones,
        leases,
        interactive=CountingPool(1, limits),
        background=CountingPool(settings.worker_handlers, limits),
        policy=RunnerPolicy(),
    )
    return Hands((registrar.spec, *runner.specs), runner.warm_up)
