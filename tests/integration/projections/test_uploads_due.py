"""Which uploads are read as due: what waits, in whatever number, keeps nothing else out."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection as AlchemyConnection
from sqlalchemy import Engine

from projections.catalogue import UPLOADS
from projections.projection import Projection
from projections.uploads.queries import Due, due_uploads, living_of, open_repositories
from schemas.events import BlobPart, UploadDescription, UploadPublished, UploadState, UploadStateChanged
from schemas.registry import Payload
from tests.integration.projections.conftest import Place
from tests.support.projecting import COMMIT, T0, fold_into, foldings

S = UploadState
BLOB = BlobPart(uri="file:///b", size_bytes=7, sha256="0" * 64)
LIVES = {
    S.UPLOADING: (S.UPLOADING,),
    S.QUEUED: (S.QUEUED,),
    S.ERRORED: (S.QUEUED, S.PROCESSING, S.ERRORED),
    S.PROCESSING: (S.QUEUED, S.PROCESSING),
    S.FAILED: (S.QUEUED, S.FAILED),
    S.COMPLETED: (S.QUEUED, S.PROCESSING, S.COMPLETED),
    S.DELETING: (S.QUEUED, S.PROCESSING, S.COMPLETED, S.DELETING),
    S.DELETED: (S.QUEUED, S.DELETED),
}
NOW = T0 + timedelta(hours=1)
LIMIT = 3


def life(
    repository: int,
    upload: int,
    state: UploadState,
    created_at: datetime = T0,
    not_before: datetime | None = None,
) -> list[Payload]:
    """How an upload came into that state."""
    described = UploadDescription(
        commit=COMMIT, root="", indexer="scip-go", format="scip", uploaded_by="c", created_at=created_at
    )
    passed = LIVES[state]
    return [
        UploadStateChanged(
            upload_id=upload,
            repository_id=repository,
            from_state=before,
            to_state=after,
            reason="test",
            upload=described if before is None else None,
            blob=BLOB if after is S.QUEUED else None,
            not_before=not_before if after is S.ERRORED else None,
        )
        for before, after in zip((None, *passed), passed, strict=False)
    ]


@pytest.fixture
def said(
    place: Callable[[Projection], Place], projector: Engine
) -> Iterator[Callable[..., AlchemyConnection]]:
    """Folds what is said into an empty projection, and reads it."""
    connection, generation = place(UPLOADS)
    with projector.connect() as plain:

        def fold(*lives: list[Payload]) -> AlchemyConnection:
            fold_into(connection, UPLOADS, [foldings([one for each in lives for one in each])])
            return plain.execution_options(
                isolation_level="AUTOCOMMIT",
                schema_translate_map={UPLOADS.metadata.schema: generation.schema_name},
            )

        yield fold


def due(
    connection: AlchemyConnection, *repositories: int, looked_at: tuple[str, ...] = ()
) -> list[tuple[int, int]]:
    wanted = Due(now=NOW, announced_until=T0 + timedelta(minutes=1), looked_at=looked_at)
    return [(one.repository_id, one.id) for one in due_uploads(connection, repositories, wanted, LIMIT)]


def test_what_awaits_its_parts_or_its_next_attempt_is_not_due_before_its_time(
    said: Callable[..., AlchemyConnection],
) -> None:
    later = T0 + timedelta(minutes=2)
    reading = said(
        *(life(1, number, S.UPLOADING, created_at=later) for number in range(1, 9)),
        *(life(1, number, S.ERRORED, not_before=NOW + timedelta(seconds=1)) for number in range(11, 19)),
        life(1, 21, S.UPLOADING),
        life(1, 22, S.ERRORED, not_before=NOW),
        life(1, 23, S.QUEUED),
        life(1, 24, S.FAILED),
        life(1, 25, S.DELETED),
    )
    assert due(reading, 1) == [(1, 21), (1, 22), (1, 23)]
    assert due(reading, 2) == []


def test_what_was_looked_at_in_vain_lets_the_next_ones_come(said: Callable[..., AlchemyConnection]) -> None:
    reading = said(*(life(1, number, S.QUEUED) for number in range(1, 9)))
    assert due(reading, 1) == [(1, 1), (1, 2), (1, 3)]
    looked_at = tuple(f"millstream.uploads/0@{offset}" for offset in range(6))
    assert due(reading, 1, looked_at=looked_at) == [(1, 7), (1, 8)]


def test_repositories_take_turns_and_only_those_that_are_asked_for(
    said: Callable[..., AlchemyConnection],
) -> None:
    reading = said(
        *(life(1, number, S.QUEUED) for number in range(1, 9)),
        life(2, 101, S.QUEUED),
        life(3, 102, S.QUEUED),
        life(4, 103, S.FAILED),
    )
    assert sorted(open_repositories(reading)) == [1, 2, 3]
    assert due(reading, 1, 2, 3, 4) == [(1, 1), (2, 101), (3, 102)]
    assert due(reading, 1, 2) == [(1, 1), (1, 2), (2, 101)]
    assert due(reading, 3) == [(3, 102)]


def test_what_is_being_deleted_or_to_be_published_is_in_nobodys_way(
    said: Callable[..., AlchemyConnection],
) -> None:
    published = UploadPublished(
        upload_id=40, repository_id=1, commit=COMMIT, root="", indexer="scip-go", replaces=[]
    )
    reading = said(
        *(life(1, number, S.DELETING) for number in range(1, 9)),
        *(life(1, number, S.QUEUED) for number in range(11, 19)),
        life(1, 31, S.COMPLETED),
        life(1, 32, S.PROCESSING),
        life(1, 40, S.COMPLETED),
        [published],
    )
    found = [number for _, number in due(reading, 1)]
    assert found == [1, 2, 3, 11, 12, 13, 31, 32]


def test_of_a_removed_repository_everything_is_found_that_is_not_deleted(
    said: Callable[..., AlchemyConnection],
) -> None:
    reading = said(
        *(life(1, number, state) for number, state in enumerate(S, start=1)), life(2, 99, S.FAILED)
    )
    found = {UploadState(one.state) for one in living_of(reading, [1], 100)}
    assert found == set(S) - {S.DELETING, S.DELETED}
