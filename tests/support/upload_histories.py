"""Lives of uploads as they may stand on a log: legal, too late, repeated, published twice, replacing each other."""

import random
from typing import Final, Protocol

from schemas.events import (
    BlobPart,
    UploadContentRemoved,
    UploadDescription,
    UploadFailure,
    UploadIndexed,
    UploadPublished,
    UploadState,
    UploadStateChanged,
)
from schemas.registry import Payload
from schemas.topics import Topic
from schemas.uploads.legal import MAY_FOLLOW
from tests.support.projecting import COMMIT, T0

_UPLOADS: Final = range(100, 103)
_BLOB: Final = BlobPart(uri="file:///blobs/0", size_bytes=9, sha256="0" * 64)


class Says(Protocol):
    """What writes the log: ``tests.support.histories.History``."""

    def say(
        self,
        topic: Topic,
        place: int,
        payload: Payload,
        *,
        event_id: str | None = None,
        expected_version: int | None = None,
    ) -> None: ...
    def again(self, topic: Topic, place: int) -> None: ...


def say_uploads(log: Says, random_: random.Random, *, repositories: int, rounds: int) -> None:
    """What is said of three uploads of each repository, turn by turn."""
    states: dict[tuple[int, int], UploadState | None] = {}
    for _ in range(rounds):
        for number in range(1, repositories + 1):
            for upload_id in _UPLOADS:
                before = states.get((number, upload_id))
                if random_.random() < 0.2:  # too early, or too late
                    wrong = random_.choice([None, *UploadState])
                    log.say(Topic.UPLOADS, number, _change(number, upload_id, wrong, random_))
                following = sorted(MAY_FOLLOW[before])
                if following:
                    change = _change(number, upload_id, before, random_, random_.choice(following))
                    log.say(Topic.UPLOADS, number, change)
                    states[number, upload_id] = change.to_state
                if random_.random() < 0.5:
                    log.say(Topic.UPLOADS, number, _said(number, upload_id, random_))
                if random_.random() < 0.3:
                    log.again(Topic.UPLOADS, number)


def _change(
    number: int,
    upload_id: int,
    before: UploadState | None,
    random_: random.Random,
    after: UploadState | None = None,
) -> UploadStateChanged:
    after = after or random_.choice(list(UploadState))
    described = UploadDescription(
        commit=COMMIT,
        root=random_.choice(("", "web/")),
        indexer="scip-go",
        format="scip",
        uploaded_by="c",
        created_at=T0,
    )
    return UploadStateChanged(
        upload_id=upload_id,
        repository_id=number,
        from_state=before,
        to_state=after,
        reason=f"r{random_.randrange(9)}",
        attempt=random_.randrange(4),
        not_before=T0 if after is UploadState.ERRORED else None,
        upload=described if before is None else None,
        blob=_BLOB if after is UploadState.QUEUED else None,
        failure=UploadFailure(code="c", byte_offset=random_.randrange(99))
        if after in (UploadState.FAILED, UploadState.ERRORED)
        else None,
    )


def _said(number: int, upload_id: int, random_: random.Random) -> Payload:
    chance = random_.random()
    if chance < 0.1:
        return UploadContentRemoved(upload_id=upload_id, repository_id=number)
    if chance < 0.5:
        return UploadIndexed(
            upload_id=upload_id,
            repository_id=number,
            documents=random_.randrange(9),
            symbols=1,
            occurrences=2,
            packages=1,
            size_bytes=70,
            manifest=_BLOB,
        )
    return UploadPublished(
        upload_id=upload_id,
        repository_id=number,
        commit=COMMIT,
        root="",
        indexer="scip-go",
        replaces=random_.sample(list(_UPLOADS), random_.randrange(3)),
    )
