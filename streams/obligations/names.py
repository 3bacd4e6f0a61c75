"""Names of obligations, as they stand in events and rows: never changed."""

from enum import StrEnum

from schemas.envelope import Event
from schemas.events import ObligationRenewed


class Owing(StrEnum):
    """What is owed, by the agent's name for it."""

    INSIGHT_PLAN = "insight.plan"
    REPOSITORY_CLONE = "repository.clone"
    REPOSITORY_PLAN = "repository.plan"
    PUSH_SNAPSHOT = "push.snapshot"
    RECORDING_COUNT = "recording.count"
    BACKFILL_RETRY = "backfill.retry"
    BACKFILL_CANCEL = "backfill.cancel"
    RECORDING_DUE = "recording.due"
    REPOSITORY_POLL = "repository.poll"
    RENEWAL = "obligation.renewal"
    COMMITS_INDEX = "commits.index"
    UPLOAD_LIFE = "upload.life"
    UPLOAD_REMOVAL = "upload.removal"
    SECRET_REMOVAL = "secret.removal"
    TRIGGER_ACTIONS = "trigger.actions"
    ACTION_OUTCOME = "action.outcome"
    MONITOR_RUNS = "monitor.runs"
    ACTION_RETRY = "action.retry"


def renewed(event: Event, owing: Owing) -> ObligationRenewed | None:
    """The payload when ``event`` renews this obligation: its agent then does what the opening event asked for."""
    data = event.data
    return data if isinstance(data, ObligationRenewed) and data.obligation == owing else None
