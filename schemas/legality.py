"""Legality: which topics are guarded, and by which rule (DESIGN section 5).

The edge asks these rules as a courtesy; the runner asks them before every fold, and only that counts. Only the types that are
declared as guarded are judged; the others on a guarded topic go straight to the folds.
"""

from collections.abc import Mapping
from typing import Final

from schemas.accounts import legal as accounts
from schemas.insights import legal as insights
from schemas.judgement import (
    ABSENT,
    Accepted,
    AcceptedIds,
    AggregateState,
    Decide,
    Duplicate,
    Judgement,
    ReasonCode,
    Rejected,
)
from schemas.monitors import legal as monitors
from schemas.operations import legal as operations
from schemas.repositories import legal as repositories
from schemas.settings import legal as settings
from schemas.topics import Topic
from schemas.uploads import legal as uploads

RULES: Final[Mapping[str, Decide]] = {
    Topic.REPOSITORIES: repositories.decide,
    Topic.INSIGHTS: insights.decide,
    Topic.SETTINGS: settings.decide,
    Topic.OPERATIONS: operations.decide,
    Topic.UPLOADS: uploads.decide,
    Topic.ACCOUNTS: accounts.decide,
    Topic.MONITORS: monitors.decide,
}
"""Guarded topics, and the rule of each."""

__all__ = [
    "ABSENT",
    "RULES",
    "Accepted",
    "AcceptedIds",
    "AggregateState",
    "Decide",
    "Duplicate",
    "Judgement",
    "ReasonCode",
    "Rejected",
]
