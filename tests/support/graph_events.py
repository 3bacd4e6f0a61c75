"""Facts of a commit graph as the events that tell of them."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from schemas.events import (
    BlobPart,
    CommitsIndexed,
    IndexedCommit,
    IndexedRef,
    RefKind,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    UploadDescription,
    UploadPublished,
    UploadState,
    UploadStateChanged,
)
from schemas.registry import Payload
from schemas.topics import Topic
from tests.support.graph_facts import Fact, Gone, Published, Pushed, Removed, Told, facts, interleaved

NOW: Final = datetime(2026, 5, 4, tzinfo=UTC)
"""When every push comes: the ages of tips are told against it."""
TOPICS: Final = (Topic.REPOSITORIES, Topic.COMMITS, Topic.UPLOADS)


def topic_of(fact: Fact) -> Topic:
    """Where the fact is told of."""
    if isinstance(fact, Told):
        return Topic.COMMITS
    return Topic.UPLOADS if isinstance(fact, Published | Gone) else Topic.REPOSITORIES


def payload_of(fact: Fact, repository_id: int, base_upload: int = 0) -> Payload:
    """The event's payload; ``base_upload`` is added to every upload's id."""
    match fact:
        case Pushed():
            return RepositoryPushed(repository_id=repository_id, default_branch="main", tip=None)
        case Removed(back=True):
            return RepositoryRegistered(
                repository_id=repository_id, name=f"local/g{repository_id}", path="/p"
            )
        case Removed():
            return RepositoryRemoved(repository_id=repository_id)
        case Published():
            return UploadPublished(
                upload_id=base_upload + fact.upload,
                repository_id=repository_id,
                commit=fact.commit,
                root=fact.root,
                indexer=fact.indexer,
                replaces=[base_upload + one for one in fact.replaces],
            )
        case Gone():
            before, after = UploadState.COMPLETED, UploadState.DELETING
            if fact.deleted:
                before, after = after, UploadState.DELETED
            return UploadStateChanged(
                upload_id=base_upload + fact.upload,
                repository_id=repository_id,
                from_state=before,
                to_state=after,
                reason="test",
            )
        case Told():
            return _told(fact, repository_id)


def life_before(fact: Published, repository_id: int, base_upload: int = 0) -> list[Payload]:
    """What comes before the first publication of an upload."""
    states = (UploadState.UPLOADING, UploadState.QUEUED, UploadState.PROCESSING, UploadState.COMPLETED)
    described = UploadDescription(
        commit=fact.commit,
        root=fact.root,
        indexer=fact.indexer,
        format="scip",
        uploaded_by="c",
        created_at=NOW,
    )
    blob = BlobPart(uri="blob://x", size_bytes=1, sha256="0" * 64)
    return [
        UploadStateChanged(
            upload_id=base_upload + fact.upload,
            repository_id=repository_id,
            from_state=before,
            to_state=after,
            reason="test",
            upload=described if before is None else None,
            blob=blob if after is UploadState.QUEUED else None,
        )
        for before, after in zip((None, *states), states, strict=False)
    ]


class Say(Protocol):
    """Tells of something about a place."""

    def __call__(self, topic: Topic, place: int, payload: Payload, /) -> None: ...


def steps_of(
    random_: random.Random, number: int, rounds: int, say: Say, again: Callable[[Topic, int], None]
) -> Callable[[], None]:
    """One repository with commits, refs and uploads: each call tells a part of what happens to it, all of it in ``rounds``."""
    order = interleaved(random_, facts(random_, most_commits=80, most_uploads=40))
    share = -(-len(order) // rounds)
    begun: set[int] = set()

    def step() -> None:
        for fact in order[:share]:
            if isinstance(fact, Published) and fact.upload not in begun:
                begun.add(fact.upload)
                for before in life_before(fact, number):
                    say(Topic.UPLOADS, number, before)
            say(topic_of(fact), number, payload_of(fact, number))
        del order[:share]
        for topic in (Topic.COMMITS, Topic.UPLOADS):
            if random_.random() < 0.3:
                again(topic, number)

    return step


def _told(fact: Told, repository_id: int) -> CommitsIndexed:
    return CommitsIndexed(
        repository_id=repository_id,
        look_id=fact.look,
        pushed_offset=fact.push,
        batch=fact.part,
        of=fact.of,
        base=None,
        boundary="0" * 16,
        commits=[
            IndexedCommit(sha=name, parents=list(parents), committed_at=NOW - timedelta(days=9), cut_off=cut)
            for name, parents, cut in fact.commits
        ],
        refs=[
            IndexedRef(
                name=ref.name,
                kind=RefKind.TAG if ref.tag else RefKind.BRANCH,
                tip=ref.tip,
                committed_at=NOW - ref.age,
                default=ref.default,
            )
            for ref in fact.refs
        ],
    )
