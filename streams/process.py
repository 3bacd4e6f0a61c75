"""``millstream worker``: hands and heads, each a process of its own below one small parent.

Two processes, because one Faust app that is blocked must not stop the other, and because a bug ends its process
at once (code 70): the other app goes on while the parent starts the failed one again. They are forks of the parent, which has
loaded what both need: a second of processor time less for each start, and the memory once.
"""

import importlib
import signal
from collections.abc import Sequence
from functools import partial
from typing import Final

from infra import members
from infra.family import keep_alive
from infra.settings import Settings

HANDS: Final = "hands"
HEADS: Final = "heads"
APPS: Final = (HANDS, HEADS)


def run(settings: Settings, apps: Sequence[str] = APPS) -> int:
    """Run the apps until SIGTERM or SIGINT; the exit code.

    One app runs in this process, which then never returns; several run in child processes, which have the same
    settings and are started again when they die. Raises NotConfigured; one app: also NoSlotFree,
    DatabaseUnreachable, KafkaUnreachable, TopicMissing.
    """
    settings.require_kafka()
    settings.require_database()
    from streams.app_process import run_app, serve_app

    if len(apps) == 1:
        run_app(settings, apps[0])
    for name in apps:
        importlib.import_module(f"streams.{name}")
    return keep_alive(
        {
            name: members.fork(name, partial(serve_app, settings, name), death_signal=signal.SIGTERM)
            for name in apps
        }
    )
