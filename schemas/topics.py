"""Names of the topics. Partitions, retention and the rest are in ``infra.topics``, the one list."""

from enum import StrEnum
from typing import Final


class Topic(StrEnum):
    """A Millstream topic (DESIGN section 4)."""

    REPOSITORIES = "millstream.repositories"
    INSIGHTS = "millstream.insights"
    RECORDINGS = "millstream.recordings"
    WORK_INTERACTIVE = "millstream.work.interactive"
    WORK_BACKGROUND = "millstream.work.background"
    RESULTS = "millstream.results"
    SETTINGS = "millstream.settings"
    OPERATIONS = "millstream.operations"
    CANARY = "millstream.canary"
    COMMITS = "millstream.commits"
    UPLOADS = "millstream.uploads"
    ACCOUNTS = "millstream.accounts"
    MONITORS = "millstream.monitors"
    TRIGGERS = "millstream.triggers"


KEYED_BY_REPOSITORY: Final = frozenset(
    {
        Topic.REPOSITORIES,
        Topic.RECORDINGS,
        Topic.WORK_INTERACTIVE,
        Topic.WORK_BACKGROUND,
        Topic.RESULTS,
        Topic.COMMITS,
        Topic.UPLOADS,
    }
)
"""Topics whose keys are repositories: who may not see a repository is not told of its events."""
