"""From what a look at a clone found to the events that tell of it. Pure."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from schemas.events import CommitsIndexed, IndexedCommit, IndexedRef, RefKind
from schemas.ids import derived_event_id
from schemas.limits import MAX_NAME_BYTES, shortened
from streams.search.git.refs import FoundCommit, FoundRef, FoundRefs

MAX_PART_BYTES: Final = 800_000
"""Of the commits and refs of one event, so that with all around them it is below what the log takes."""
_COMMIT_BYTES: Final = 110
_REF_BYTES: Final = 200


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole look has told of: everything that is reachable from ``tips``."""

    look_id: str
    pushed_offset: int
    boundary: str
    tips: tuple[str, ...]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look, ready to be told of: it answers the push at ``pushed_offset``, and leaves out what ``base`` has told of."""

    look_id: str
    repository_id: int
    pushed_offset: int
    base: str | None
    found: FoundRefs

    @property
    def told(self) -> Told:
        """What is told once all parts are on the log."""
        return Told(
            look_id=self.look_id,
            pushed_offset=self.pushed_offset,
            boundary=self.found.digest,
            tips=tuple(sorted({ref.tip for ref in self.found.refs})),
        )


def base_of(found: FoundRefs, told: Told | None) -> Told | None:
    """What need not be told again: nothing where a shallow clone is cut off elsewhere than it was."""
    return told if told is not None and told.boundary == found.digest else None


def look_of(repository_id: int, pushed_offset: int, found: FoundRefs, base: Told | None) -> Look:
    """The same refs, told for the same push upon the same base, are the same look, whoever saw them."""
    state = hashlib.sha256(msgspec.json.encode(found.refs)).hexdigest()
    before = base.look_id if base is not None else ""
    return Look(
        look_id=derived_event_id("commits.look", repository_id, pushed_offset, before, found.digest, state),
        repository_id=repository_id,
        pushed_offset=pushed_offset,
        base=base.look_id if base is not None else None,
        found=found,
    )


def parts_of(look: Look, commits: Iterable[FoundCommit]) -> list[CommitsIndexed]:
    """The events, in order; at least one, so that the push has its answer."""
    parts = list(_parts(look.found.refs, commits))
    return [
        CommitsIndexed(
            repository_id=look.repository_id,
            look_id=look.look_id,
            pushed_offset=look.pushed_offset,
            batch=number,
            of=len(parts),
            base=look.base,
            boundary=look.found.digest,
            commits=[_commit(one) for one in part.commits],
            refs=[_ref(one) for one in part.refs],
        )
        for number, part in enumerate(parts, start=1)
    ]


def event_id(part: CommitsIndexed) -> str:
    """The same part of the same look is the same event."""
    return derived_event_id("commits.indexed", part.look_id, part.batch, part.of)


class _Part(msgspec.Struct):
    refs: list[FoundRef]
    commits: list[FoundCommit]


def _parts(refs: Sequence[FoundRef], commits: Iterable[FoundCommit]) -> Iterator[_Part]:
    part, room_bytes = _Part([], []), MAX_PART_BYTES
    for ref in refs:
        size_bytes = _REF_BYTES + 6 * len(ref.name)
        if size_bytes > room_bytes:
            yield part
            part, room_bytes = _Part([], []), MAX_PART_BYTES
        part.refs.append(ref)
        room_bytes -= size_bytes
    for commit in commits:
        size_bytes = _COMMIT_BYTES + (len(commit.sha) + 3) * (1 + len(commit.parents))
        if size_bytes > room_bytes:
            yield part
            part, room_bytes = _Part([], []), MAX_PART_BYTES
        part.commits.append(commit)
        room_bytes -= size_bytes
    yield part


def _commit(one: FoundCommit) -> IndexedCommit:
    return IndexedCommit(sha=one.sha, parents=one.parents, committed_at=one.committed_at, cut_off=one.cut_off)


def _ref(one: FoundRef) -> IndexedRef:
    return IndexedRef(
        name=shortened(one.name, MAX_NAME_BYTES),
        kind=RefKind.TAG if one.is_tag else RefKind.BRANCH,
        tip=one.tip,
        committed_at=one.committed_at,
        default=one.is_default,
    )
