"""Events on ``millstream.commits``, keyed by repository."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from schemas.limits import MAX_NAME_BYTES, Digest, FieldError, RequestId, check_bytes, check_instant
from schemas.registry import Audience, Instant, Offset, Part, PartNumber, Payload, SafeId, event
from schemas.repositories.events import Sha
from schemas.topics import Topic

_ON: Final = (Topic.COMMITS,)
_SHA_PATTERN: Final = r"^([0-9a-f]{40}|[0-9a-f]{64})$(?!\n)"
ShaText = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": _SHA_PATTERN})]
"""A full git object id where there are many: readers check it as bytes, all of an event together."""


class RefKind(StrEnum):
    """What a ref is."""

    BRANCH = "branch"
    TAG = "tag"


class IndexedCommit(Part, frozen=True, kw_only=True):
    """One commit. ``cut_off``: it stands at the boundary of a shallow clone, so its parents are not known."""

    sha: ShaText
    parents: list[ShaText]
    committed_at: Instant
    cut_off: bool = False


class IndexedRef(Part, frozen=True, kw_only=True):
    """One branch or tag by its short name, the commit that it leads to, and that commit's committer time."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_BYTES)]
    kind: RefKind
    tip: Sha
    committed_at: Instant
    default: bool = False


@event(
    "millstream.commits.indexed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.INTERNAL,
)
class CommitsIndexed(Payload, frozen=True, kw_only=True):
    """A part of what one look at a clone found: commits that no earlier look has told of, and where all refs stand.

    A look answers the ``repository.pushed`` at ``pushed_offset`` of the repository's partition. Its parts bear one
    ``look_id``; only when all of them are on the log do the refs count. What the look at ``base`` had told of is left out
    (null: everything is told). ``boundary`` follows from where a shallow clone is cut off.
    """

    repository_id: SafeId
    look_id: RequestId
    pushed_offset: Offset
    batch: PartNumber
    of: PartNumber
    base: RequestId | None
    boundary: Digest
    commits: list[IndexedCommit]
    refs: list[IndexedRef]

    def __post_init__(self) -> None:
        if self.batch > self.of:
            raise FieldError("batch", f"part {self.batch} of {self.of}")
        check_commits(self.commits)
        for ref in self.refs:
            check_bytes("name", ref.name, MAX_NAME_BYTES)
            check_instant("committed_at", ref.committed_at)


def check_commits(commits: list[IndexedCommit]) -> None:
    """All ids are ids, all times can be counted in. Raises FieldError."""
    for commit in commits:
        check_instant("committed_at", commit.committed_at)
        for sha in (commit.sha, *commit.parents):
            if len(sha) not in (40, 64) or not _is_hex(sha):
                raise FieldError("commits", f"{sha[:80]!r} is no object id")


def _is_hex(text: str) -> bool:
    return text.isascii() and not text.strip("0123456789abcdef")
