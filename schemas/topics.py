"""Names of the topics. Partitions, retention and the rest are in ``infra.topics``, the one list."""

from enum import StrEnum


class Topic(StrEnum):
    """A Millstream topic (DESIGN section 4)."""

    REPOSITORIES = "millstream.repositories"
    INSIGHTS = "millstream.insights"
    RECORDINGS = "millstream.recordings"
    WORK_INTERACTIVE = "millstream.work.interactive"
    WORK_BACKGROUND = "millstream.work.background"
    RESULTS = "millstream.results"
    SETTINGS = "millstream.settings"
