"""Why a point is incomplete, in words, with the repositories that are to blame."""

from collections.abc import Mapping, Sequence

_NAMED = 2
"""Of more repositories with one reason, so many are named."""


class Reasons:
    """Codes of incomplete points in words."""

    WORDS: Mapping[str, str] = {
        "pending": "not all repositories are counted yet{}",
        "not-counted": "not all repositories are counted{}",
        "missing-object": "an object is missing from a clone{}",
        "shallow": "the history of a shallow clone{} ends before this frame",
        "timeout": "counting ran out of time{}",
        "cancelled": "counting was cancelled{}",
        "invalid-query": "the query cannot be run{}",
        "result-too-large": "the result is too large{}",
        "handler-died": "counting ended the process that counted{}",
        "removed": "the repository{} was removed before this was counted",
        "limit-hit": "the limit of count: was reached{}",
        "clone-error": "the repository{} cannot be cloned",
        "disk-full": "the disk was full when a repository{} was cloned",
        "not-a-repository": "no git repository is where one{} was registered",
    }
    """A gap stands where the repositories are named."""

    CLONING: frozenset[str] = frozenset({"clone-error", "disk-full", "not-a-repository"})
    """Those that are about a clone, and over once it is made."""

    _OF: Mapping[str, str] = {
        "": "not counted",
        "pending": "not counted yet",
        "not-counted": "not counted yet",
        "missing-object": "misses objects in the clone",
        "shallow": "a shallow clone, whose history ends too early",
        "timeout": "not counted in time",
        "removed": "removed before this was counted",
        "limit-hit": "has more results than count: allows",
        "clone-error": "could not be cloned",
        "disk-full": "could not be cloned: the disk was full",
        "not-a-repository": "holds no git repository",
    }

    @classmethod
    def of_repositories(cls, code: str) -> str:
        """What is said behind the names of the repositories that it is about: "could not be cloned"."""
        return cls._OF.get(code) or cls.WORDS.get(code, code).format("")

    @classmethod
    def in_words(cls, reason: str, repositories: Sequence[str] = ()) -> str:
        """``code`` or ``code: detail`` for people, with the ``repositories`` it is about; an unknown code as it is."""
        where = f" ({_named(repositories)})" if repositories else ""
        code, separator, detail = reason.partition(":")
        words = cls.WORDS.get(code.strip())
        if words is None:
            return f"{reason}{where}"
        text = words.format(where)
        return f"{text}{separator}{detail}" if detail.strip() else text


def _named(repositories: Sequence[str]) -> str:
    if len(repositories) == 1:
        return repositories[0]
    more = ", …" if len(repositories) > _NAMED else ""
    return f"{len(repositories)} repositories: {', '.join(repositories[:_NAMED])}{more}"
