"""Events on ``millstream.repositories``, keyed by repository."""

from typing import Annotated

import msgspec

from schemas.registry import Audience, Part, Payload, SafeId, event
from schemas.topics import Topic

Name = Annotated[str, msgspec.Meta(min_length=3, max_length=1024, pattern=r"^[^\x00-\x1f]+/[^\x00-\x1f]+$")]
"""``host/path``, host in lower case, no scheme, no ``.git``."""
Sha = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
"""A full git object id."""

_ON = (Topic.REPOSITORIES,)


def _refuse_credentials(url: str) -> None:
    """No credential goes on the log: not as user information (``git@`` of ssh is none), not in a query."""
    scheme, _, rest = url.partition("://")
    if not rest:
        return
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and (":" in user or scheme.lower() in ("http", "https")):
        raise ValueError("clone_url holds a credential: give it to git's credential store instead")
    if "?" in rest:
        raise ValueError("clone_url has a query, which could hold a credential")


@event(
    "millstream.repository.registered",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class RepositoryRegistered(Payload, frozen=True, kw_only=True):
    """Somebody asked that Millstream follow this repository.

    Exactly one of ``path`` (a git directory used in place) and ``clone_url`` (to be mirrored; never with
    credentials in it) is given.
    """

    repository_id: SafeId
    name: Name
    path: str | None = None
    clone_url: str | None = None
    fork: bool = False
    archived: bool = False
    private: bool = False

    def __post_init__(self) -> None:
        if (self.path is None) == (self.clone_url is None):
            raise ValueError("exactly one of path and clone_url has to be given")
        if self.name.endswith("\n"):
            raise ValueError("the name ends in a line feed")
        if self.clone_url is not None:
            _refuse_credentials(self.clone_url)


@event(
    "millstream.repository.updated",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class RepositoryUpdated(Payload, frozen=True, kw_only=True):
    """Properties of a repository changed; absent (null) ones stay as they were."""

    repository_id: SafeId
    fork: bool | None = None
    archived: bool | None = None
    private: bool | None = None
    default_branch: str | None = None


@event(
    "millstream.repository.renamed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class RepositoryRenamed(Payload, frozen=True, kw_only=True):
    """The repository has a new canonical name; its id, and so its history, stays."""

    repository_id: SafeId
    name: Name


@event(
    "millstream.repository.removed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class RepositoryRemoved(Payload, frozen=True, kw_only=True):
    """The repository is followed no longer."""

    repository_id: SafeId


class RefMove(Part, frozen=True, kw_only=True):
    """One ref that moved; ``old`` is null for a new ref, ``new`` for a deleted one."""

    ref: str
    old: Sha | None
    new: Sha | None


@event(
    "millstream.repository.pushed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
)
class RepositoryPushed(Payload, frozen=True, kw_only=True):
    """Refs moved. ``tip`` is the default branch's commit afterwards (null: empty repository).

    The first one says that the clone is ready on the machine of its partition. ``refs`` holds the default
    branch's move and at most 1,000 others; ``refs_fingerprint`` is a SHA-256 over all refs.
    """

    repository_id: SafeId
    default_branch: str | None
    tip: Sha | None
    previous_tip: Sha | None = None
    refs: list[RefMove] = []
    refs_omitted: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    refs_fingerprint: str = ""
    shallow: bool = False


@event(
    "millstream.repository.clone_failed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.INTERNAL,
)
class RepositoryCloneFailed(Payload, frozen=True, kw_only=True):
    """The registrar could not make the repository readable; ``reason`` is a code, ``message`` for people."""

    repository_id: SafeId
    reason: str
    message: str
    attempt: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 1
