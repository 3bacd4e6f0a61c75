"""From a real push to the commit graph: worker and projector run, git does what git does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.commit_graph import queries
from projections.commit_graph.queries import VisibleUpload
from projections.reading import Reader
from schemas.events import UploadPublished
from tests.integration.streams.children import start_worker
from tests.integration.streams.following import commit, projected, refresh
from tests.support.graph_events import life_before
from tests.support.graph_facts import Published
from tests.support.repositories import git
from tests.support.system import eventually
from tests.unit.streams.events import event, registered

WAIT_S = 60.0
REPOSITORY, EMPTY, SHALLOW = 11, 12, 13


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[Reader]:
    with projected(settings) as found, start_worker(settings, "hands"):
        yield found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    git(folder, "init", "-q", "--bare", "-b", "main")
    tree = git(folder, "mktree", stdin=b"").decode().strip()
    first = git(folder, "commit-tree", tree, "-m", "one").decode().strip()
    git(folder, "update-ref", "refs/heads/main", first)
    return folder


def upload(publisher: Publisher, repository: int, number: int, commit_id: str, *replaces: int) -> None:
    """An index that was processed elsewhere."""
    fact = Published(number, commit_id, "", "scip-go", replaces)
    publisher.publish([event(one) for one in life_before(fact, repository)])
    publisher.publish(
        [
            event(
                UploadPublished(
                    upload_id=number,
                    repository_id=repository,
                    commit=commit_id,
                    root="",
                    indexer="scip-go",
                    replaces=list(replaces),
                )
            )
        ]
    )


def answers(reader: Reader, repository: int, at: str) -> list[tuple[int, int]]:
    """(upload, distance) at a commit."""

    def found(seen: list[VisibleUpload]) -> list[tuple[int, int]]:
        return [(one.upload_id, one.distance) for one in seen]

    with reader.snapshot(("commit_graph",)) as snapshot:
        return found(queries.nearest_uploads(snapshot.connection, repository, at))


def wait_answers(reader: Reader, repository: int, at: str, wanted: list[tuple[int, int]]) -> None:
    eventually(lambda: answers(reader, repository, at) == wanted, f"{wanted} at {at[:7]}", timeout_s=WAIT_S)


def wait_tips(reader: Reader, repository: int, wanted: list[tuple[int, str, str]]) -> None:
    """(upload, tip, refs) of all that is visible at tips; those of the default branch are called main."""

    def shown() -> bool:
        with reader.snapshot(("commit_graph",)) as snapshot:
            found = queries.visible_at_tips(snapshot.connection, repository)
        return [(one.upload_id, one.commit, one.refs) for one in found] == wanted and all(
            one.is_default == (one.refs == "main") for one in found
        )

    eventually(shown, f"{wanted} at the tips", timeout_s=WAIT_S)


def wait_current(reader: Reader, repository: int) -> None:
    def current() -> bool:
        with reader.snapshot(("commit_graph",)) as snapshot:
            state = queries.graph_state(snapshot.connection, repository)
        return state.updated_at is not None and not state.stale

    eventually(current, "a graph that is current", timeout_s=WAIT_S)


def test_pushes_forced_pushes_and_deleted_branches_move_the_graph(
    publisher: Publisher, reader: Reader, bare: Path
) -> None:
    publisher.publish([event(registered(REPOSITORY, str(bare)))])
    wait_current(reader, REPOSITORY)
    first = git(bare, "rev-parse", "main").decode().strip()
    upload(publisher, REPOSITORY, 1, first)
    wait_answers(reader, REPOSITORY, first, [(1, 0)])

    second = commit(bare, "a", "1")
    publisher.publish([refresh(REPOSITORY)])
    wait_answers(reader, REPOSITORY, second, [(1, 1)])

    git(bare, "update-ref", "refs/heads/topic", second)
    third = commit(bare, "a", "2")
    upload(publisher, REPOSITORY, 2, third)  # perhaps before anybody has told of that commit
    publisher.publish([refresh(REPOSITORY)])
    wait_answers(reader, REPOSITORY, third, [(2, 0)])
    wait_tips(reader, REPOSITORY, [(1, second, "topic"), (2, third, "main")])
    wait_current(reader, REPOSITORY)

    git(bare, "update-ref", "-d", "refs/heads/topic")
    git(bare, "update-ref", "refs/heads/main", first)  # what was pushed since is taken back
    other = commit(bare, "b", "1")
    publisher.publish([refresh(REPOSITORY)])
    wait_answers(reader, REPOSITORY, other, [(1, 1)])
    wait_current(reader, REPOSITORY)
    # Where an upload was made it answers all the same, and what is above it stays in the graph with it.
    assert (answers(reader, REPOSITORY, third), answers(reader, REPOSITORY, second)) == ([(2, 0)], [(1, 1)])
    wait_tips(reader, REPOSITORY, [(1, other, "main")])


def test_an_empty_and_a_shallow_repository(publisher: Publisher, reader: Reader, tmp_path: Path) -> None:
    empty, full, shallow = tmp_path / "empty", tmp_path / "full", tmp_path / "shallow"
    for folder in (empty, full):
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
    for number in range(4):
        git(full, "commit", "-q", "--allow-empty", "-m", str(number))
    git(tmp_path, "clone", "-q", "--depth=2", f"file://{full}", str(shallow))
    publisher.publish([event(registered(EMPTY, str(empty))), event(registered(SHALLOW, str(shallow)))])
    wait_current(reader, EMPTY)
    oldest, _, before, tip = git(full, "rev-list", "--reverse", "main").decode().split()
    upload(publisher, SHALLOW, 1, oldest)
    wait_answers(reader, SHALLOW, oldest, [(1, 0)])
    wait_current(reader, SHALLOW)
    assert answers(reader, SHALLOW, tip) == answers(reader, SHALLOW, before) == []

    git(shallow, "fetch", "-q", "--unshallow")
    git(
        shallow, "commit", "-q", "--allow-empty", "-m", "more"
    )  # what is cut off is no ref: a push tells of it
    publisher.publish([refresh(SHALLOW)])
    wait_answers(reader, SHALLOW, tip, [(1, 3)])
