"""Changes of permissions on real tables: what is said again changes nothing, however the log is cut into batches."""

import random
from collections.abc import Callable, Sequence

import psycopg
import pytest

from projections.access.fold import fold
from projections.access.writer import write
from projections.catalogue import ACCESS
from projections.folding import Folding
from projections.generations import Generation
from projections.projection import Projection
from schemas.events import RepositoryPermissionsChanged
from tests.support.account_history import permissions
from tests.support.projecting import event, folding

Place = Callable[[Projection], tuple[psycopg.Connection[tuple[object, ...]], Generation]]
Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def after(place: Place) -> Callable[..., Rows]:
    """(batches) -> the rows of all tables after them."""

    def run(*batches: Sequence[Folding]) -> Rows:
        connection, _ = place(ACCESS)
        for batch in batches:
            with connection.transaction(), connection.cursor() as cursor:
                write(cursor, fold(batch))
        return {
            table.name: sorted(connection.execute(f"select * from {table.name}".encode()).fetchall(), key=str)
            for table in ACCESS.metadata.sorted_tables
        }

    return run


def said(
    event_id: str, offset: int, *, restricted: bool, users: Sequence[int] = (), part: int = 1
) -> Folding:
    change = RepositoryPermissionsChanged(
        repository_id=7,
        restricted=restricted,
        change=event_id[0],
        users=list(users),
        part=part,
        of=2 if part == 2 else 1,
    )
    return folding(event(change, at=offset, event_id=event_id), offset)


OPENED = said("a", 0, restricted=False)
CLOSED = said("b", 1, restricted=True, users=[5])
AGAIN = said("a", 2, restricted=False)


@pytest.mark.parametrize("cuts", [(3,), (1, 2), (2, 1), (1, 1, 1)])
def test_a_change_that_is_said_again_does_not_undo_the_one_that_came_since(
    after: Callable[..., Rows], cuts: tuple[int, ...]
) -> None:
    log, batches = [OPENED, CLOSED, AGAIN], []
    for cut in cuts:
        batches.append(log[:cut])
        log = log[cut:]
    rows = after(*batches)
    assert [(row[1], row[2]) for row in rows["repo_permissions"]] == [(True, "b")]
    assert [row[2:] for row in rows["repo_readers"]] == [("b", [5])]


def test_what_is_new_counts_beside_a_repeat_in_one_batch(after: Callable[..., Rows]) -> None:
    reopened = said("c", 3, restricted=False)
    assert after([OPENED, CLOSED], [reopened, AGAIN])["repo_permissions"][0][1:3] == (False, "c")
    assert after([OPENED, CLOSED], [AGAIN, reopened])["repo_permissions"][0][1:3] == (False, "c")


def test_a_change_adds_up_from_its_parts_and_replaces_the_one_before_whole(
    after: Callable[..., Rows],
) -> None:
    parts = [said("a1", 0, restricted=True, users=[1]), said("a2", 1, restricted=True, users=[2], part=2)]
    rows = after(parts, parts)
    assert [row[1:] for row in rows["repo_readers"]] == [(1, "a", [1]), (2, "a", [2])]
    assert after(parts, [CLOSED], parts)["repo_permissions"][0][1:4] == (True, "b", 1)


@pytest.mark.parametrize("seed", range(20))
def test_the_cut_into_batches_cannot_be_seen(after: Callable[..., Rows], seed: int) -> None:
    random_ = random.Random(seed)
    different = [event(permissions(random_.randrange(1, 3), random_), event_id=f"e-{n}") for n in range(8)]
    log = [folding(random_.choice(different), offset) for offset in range(16)]
    first = {id(one.event): one for one in reversed(log)}.values()
    unrepeated = sorted(first, key=lambda one: one.position.offset)
    cuts = sorted(random_.randrange(17) for _ in range(4))
    batches = [log[begin:end] for begin, end in zip([0, *cuts], [*cuts, 16], strict=True)]
    assert after(*batches) == after(log) == after(unrepeated)
