"""Events on ``millstream.repositories``, keyed by repository."""

from typing import Annotated

import msgspec

from schemas.limits import (
    MAX_BRANCH_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_NAME_BYTES,
    Branch,
    CloneUrl,
    Code,
    FieldError,
    Message,
    Path,
    RequestId,
    check_bytes,
    check_clone_url,
    check_path,
)
from schemas.registry import Audience, Part, PartNumber, Payload, SafeId, event
from schemas.topics import Topic

Name = Annotated[
    str,
    msgspec.Meta(min_length=3, max_length=MAX_NAME_BYTES, pattern=r"^[^\x00-\x1f]+/[^\x00-\x1f]+$(?!\n)"),
]
"""``host/path``, host in lower case, no scheme, no ``.git``; at most 1,000 bytes."""
Sha = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$(?!\n)")]
"""A full git object id."""

_ON = (Topic.REPOSITORIES,)


@event(
    "millstream.repository.registered",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    guarded=True,
    administers=True,
)
class RepositoryRegistered(Payload, frozen=True, kw_only=True):
    """Somebody asked that Millstream follow this repository.

    Exactly one of ``path`` (a git directory used in place) and ``clone_url`` (to be mirrored; never with
    credentials in it) is given.
    """

    repository_id: SafeId
    name: Name
    path: Path | None = None
    clone_url: CloneUrl | None = None
    fork: bool = False
    archived: bool = False
    private: bool = False

    def __post_init__(self) -> None:
        if (self.path is None) == (self.clone_url is None):
            raise ValueError("exactly one of path and clone_url has to be given")
        check_bytes("name", self.name, MAX_NAME_BYTES)
        check_path("path", self.path)
        check_clone_url("clone_url", self.clone_url)


@event(
    "millstream.repository.updated",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    guarded=True,
    administers=True,
)
class RepositoryUpdated(Payload, frozen=True, kw_only=True):
    """Properties of a repository changed; absent (null) ones stay as they were."""

    repository_id: SafeId
    fork: bool | None = None
    archived: bool | None = None
    private: bool | None = None
    default_branch: Branch | None = None

    def __post_init__(self) -> None:
        check_bytes("default_branch", self.default_branch, MAX_BRANCH_BYTES)


@event(
    "millstream.repository.renamed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    guarded=True,
    administers=True,
)
class RepositoryRenamed(Payload, frozen=True, kw_only=True):
    """The repository has a new canonical name; its id, and so its history, stays."""

    repository_id: SafeId
    name: Name

    def __post_init__(self) -> None:
        check_bytes("name", self.name, MAX_NAME_BYTES)


@event(
    "millstream.repository.removed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    guarded=True,
    administers=True,
)
class RepositoryRemoved(Payload, frozen=True, kw_only=True):
    """The repository is followed no longer."""

    repository_id: SafeId


class RefMove(Part, frozen=True, kw_only=True):
    """One ref that moved; ``old`` is null for a new ref, ``new`` for a deleted one."""

    ref: Annotated[str, msgspec.Meta(max_length=4_096)]
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
    default_branch: Branch | None
    tip: Sha | None
    previous_tip: Sha | None = None
    refs: Annotated[list[RefMove], msgspec.Meta(max_length=2_000)] = []
    refs_omitted: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    refs_fingerprint: Annotated[str, msgspec.Meta(max_length=128)] = ""
    shallow: bool = False

    def __post_init__(self) -> None:
        check_bytes("default_branch", self.default_branch, MAX_BRANCH_BYTES)


@event(
    "millstream.repository.refresh_requested",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
)
class RepositoryRefreshRequested(Payload, frozen=True, kw_only=True):
    """Somebody asked that the refs be looked at now: a hook after a push. What moved is said by repository.pushed."""

    repository_id: SafeId


@event(
    "millstream.repository.clone_failed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.INTERNAL,
)
class RepositoryCloneFailed(Payload, frozen=True, kw_only=True):
    """The registrar could not make the repository readable; ``reason`` is a code, ``message`` for people."""

    repository_id: SafeId
    reason: Code
    message: Message
    attempt: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 1

    def __post_init__(self) -> None:
        check_bytes("message", self.message, MAX_MESSAGE_BYTES)


MOST_READERS = 10_000
"""Users that one event may list; more become several parts."""


@event(
    "millstream.repository.permissions_changed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.EXTERNAL,
    administers=True,
)
class RepositoryPermissionsChanged(Payload, frozen=True, kw_only=True):
    """Who may see a repository was laid down anew: everybody, or (``restricted``) only the users that are listed.

    A list that is too long comes in parts of one ``change``; whoever stands in a part that has not come yet sees nothing.
    """

    repository_id: SafeId
    restricted: bool
    change: RequestId
    users: Annotated[list[SafeId], msgspec.Meta(max_length=MOST_READERS)] = []
    part: PartNumber = 1
    of: PartNumber = 1

    def __post_init__(self) -> None:
        if self.part > self.of:
            raise FieldError("part", f"there are {self.of}")
