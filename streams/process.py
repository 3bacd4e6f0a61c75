"""``millstream worker``: hands and heads, each a process of its own below one small parent.

Two processes, because one Faust app that is blocked must not stop the other, and because a bug ends its process
at once (code 70): the other app goes on while the parent starts the failed one again.
"""

import sys
from collections.abc import Sequence
from typing import Final

from infra import members
from infra.family import keep_alive
from infra.settings import Settings

HANDS: Final = "hands"
HEADS: Final = "heads"
APPS: Final = (HANDS, HEADS)


def run(settings: Settings, apps: Sequence[str] = APPS) -> int:
    """Run the apps until SIGTERM or SIGINT; the exit code.

    One app runs in this process, which then never returns; several run in child processes, which read the same
    environment and are started again when they die. Raises NotConfigured; one app: also NoSlotFree,
    DatabaseUnreachable, KafkaUnreachable, TopicMissing.
    """
    settings.require_kafka()
    settings.require_database()
    if len(apps) == 1:
        from streams.app_process import run_app

        run_app(settings, apps[0])
    return keep_alive(
        {name: members.command([sys.executable, "-m", "streams.app_process", name]) for name in apps}
    )
