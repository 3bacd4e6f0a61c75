"""Every site setting: its key, its bounds and its default. Keys follow the names that people know."""

from collections.abc import Mapping
from typing import Final

import msgspec


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """``default`` None: no limit."""

    key: str
    default: float | None
    least: float
    most: float
    help: str


CONCURRENCY: Final = "insights.query.worker.concurrency"
RATE_LIMIT: Final = "insights.query.worker.rateLimit"
RATE_LIMIT_BURST: Final = "insights.query.worker.rateLimitBurst"
TIMEOUT_S: Final = "insights.query.worker.timeoutSeconds"
RECORDING_WINDOW_S: Final = "insights.recording.windowSeconds"
POLL_INTERVAL_S: Final = "repositories.pollIntervalSeconds"
MONITOR_INTERVAL_S: Final = "codeMonitors.pollIntervalSeconds"

SETTINGS: Final = (
    Setting(
        key=CONCURRENCY,
        default=None,
        least=1,
        most=100_000,
        help="repository requests in flight at most, over all workers; no value: two seconds of work",
    ),
    Setting(
        key=RATE_LIMIT,
        default=None,
        least=0.01,
        most=1e6,
        help="repository requests dispatched per second, over the whole cluster; no value: no limit",
    ),
    Setting(
        key=RATE_LIMIT_BURST,
        default=20,
        least=1,
        most=1e6,
        help="requests that may go at once after a quiet time; only with a rate limit",
    ),
    Setting(
        key=TIMEOUT_S, default=3600, least=1, most=86_400, help="longest pass over one repository, in seconds"
    ),
    Setting(
        key=RECORDING_WINDOW_S,
        default=0,
        least=0,
        most=86_400,
        help="seconds over which the recordings of one grid instant are spread; 0: all at once",
    ),
    Setting(
        key=POLL_INTERVAL_S,
        default=60,
        least=0,
        most=86_400,
        help="seconds between two looks at the refs of a repository; 0: only when a hook tells",
    ),
    Setting(
        key=MONITOR_INTERVAL_S,
        default=300,
        least=1,
        most=86_400,
        help="seconds between two looks for moved refs that no run of a monitor has covered",
    ),
)
BY_KEY: Final[Mapping[str, Setting]] = {setting.key: setting for setting in SETTINGS}
