"""Workers and projectors die while uploads are processed: every upload ends, the newest of each key answers and can be read whole, and
the commit graph is the naive one's.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil
import pytest

from infra.blobs import BlobStore
from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.commit_graph import queries as graph
from projections.reading import Reader
from projections.uploads import queries
from projections.uploads.queries import Filter, Upload
from schemas.codec import new_event
from schemas.events import BlobPart, RepositoryRegistered, UploadDescription, UploadState, UploadStateChanged
from schemas.ids import upload_id
from streams import faults
from streams.uploads.store import Manifest
from tests.crash.rounds import ROUNDS, SEED, SOAK_S, moments
from tests.integration.streams.children import Child, start_projector, start_worker
from tests.stack import StackUnderTest
from tests.support.checker import wait_until_projected
from tests.support.graph_facts import Ref
from tests.support.graph_rows import rows_of
from tests.support.naive_graph import NaiveUpload, rows
from tests.support.projecting import settings_for
from tests.support.repositories import RepositoryBuilder, git
from tests.support.scip import small_index
from tests.support.system import eventually

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400 + SOAK_S * ROUNDS)]

REPOSITORIES = 4
UPLOADS = 50
KEYS = 3
"""Folders at each commit: uploads of one replace each other."""
INDEXER: Final = "scip-test"
PROJECTOR, HANDS = "projector", "hands"
DAY: Final = timedelta(days=1)
_FINAL = (UploadState.COMPLETED, UploadState.DELETED)


@pytest.fixture(scope="module")
def settings(servers_of: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(servers_of.database_url, tmp_path_factory.mktemp("home"), servers_of.kafka_bootstrap)
    set_up(found)
    return found


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[Reader]:
    engine = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    found = Reader(engine)
    with start_projector(settings):
        assert wait_until_projected(settings) == []
    yield found
    found.close()
    engine.dispose()


@pytest.fixture(scope="module")
def clones(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Repositories with a merge, branches and tags, which are registered and no more: the worker has to look at them."""
    found: dict[int, Path] = {}
    with Publisher(settings) as publisher:
        for number in range(1, REPOSITORIES + 1):
            path = tmp_path_factory.mktemp("repositories") / f"r{number}"
            made(path, datetime.now(UTC))
            registered = RepositoryRegistered(repository_id=number, name=f"local/r{number}", path=str(path))
            publisher.publish([new_event(registered, source="//test", time=datetime.now(UTC))])
            found[number] = path
    return found


def made(path: Path, now: datetime) -> None:
    """``stale`` and ``old`` are too old to be tips; ``side`` and ``v1`` are not."""
    builder = RepositoryBuilder(path)
    first = builder.commit(now - 900 * DAY, {"a.py": "1"})
    second = builder.commit(now - 60 * DAY, {"a.py": "2"})
    side = builder.commit(now - 30 * DAY, {"b.py": "1"}, branch="side", parent=first)
    builder.commit(now - 2 * DAY, {"c.py": "1"}, parent=second, merges=[side])
    for number in range(2):
        builder.commit(now - DAY, {"a.py": f"{3 + number}"})
    builder.build()
    for name, arguments in {"stale": ["branch"], "old": ["tag"]}.items():
        git(path, *arguments, name, "main~4")
    git(path, "tag", "v1", "main~3")


def commits_of(path: Path) -> list[str]:
    return git(path, "rev-list", "--all", "--topo-order").decode().split()


def upload(settings: Settings, publisher: Publisher, clones: dict[int, Path], number: int) -> NaiveUpload:
    """What the API says of an upload in one piece, somewhere in the repository."""
    chance = random.Random(number)
    repository = number % REPOSITORIES + 1
    root, commit = f"k{chance.randrange(KEYS)}/", chance.choice(commits_of(clones[repository]))
    ref = BlobStore(settings.effective_blob_url).put(small_index(20 + number, seed=f"s{number}-"))
    now = datetime.now(UTC)
    identity = upload_id(now, number)
    queued = UploadStateChanged(
        upload_id=identity,
        repository_id=repository,
        from_state=None,
        to_state=UploadState.QUEUED,
        reason="uploaded in one piece",
        upload=UploadDescription(
            commit=commit, root=root, indexer=INDEXER, format="scip", uploaded_by="c", created_at=now
        ),
        blob=BlobPart(uri=ref.uri, size_bytes=ref.size_bytes, sha256=ref.sha256),
    )
    publisher.publish([new_event(queued, source="//test", time=now)])
    return NaiveUpload(identity, commit, root, INDEXER)


def all_uploads(reader: Reader) -> list[Upload]:
    with reader.snapshot(("uploads",)) as snapshot:
        return queries.page(snapshot.connection, Filter(deleted=True), 1_000)


def ready(worker: Child) -> Child:
    worker.wait_for(
        lambda lines: any(line.get("action") == "ready" for line in lines), "a worker", timeout_s=120
    )
    return worker


def ended(reader: Reader, said: Iterable[NaiveUpload]) -> bool:
    """Whether every upload is in a state in which it may stay."""
    found = {one.id: one for one in all_uploads(reader)}
    return all(
        one.number in found
        and (
            found[one.number].visible or found[one.number].state in (UploadState.DELETED, UploadState.FAILED)
        )
        for one in said
    )


def newest_of_each_key(said: Iterable[NaiveUpload]) -> list[NaiveUpload]:
    """What has to answer. The ids of one repository's uploads tell their order."""
    return sorted({one[1:]: one for one in sorted(said)}.values())


def is_current(reader: Reader) -> bool:
    with reader.snapshot(("commit_graph",)) as snapshot:
        states = [graph.graph_state(snapshot.connection, number) for number in range(1, REPOSITORIES + 1)]
    return all(one.updated_at is not None and not one.stale for one in states)


def graph_problems(
    settings: Settings, clones: dict[int, Path], said: dict[int, list[NaiveUpload]]
) -> list[str]:
    """Where the graph is not what git and the rules say."""
    with connect(settings, Role.PROJECTOR) as connection:
        (schema,) = connection.execute(
            "select schema_name from runtime.generations where projection = 'commit_graph'"
        ).fetchone() or ("",)
        connection.execute(f'set search_path to "{schema}"'.encode())
        found = {number: rows_of(connection, number) for number in clones}
    return [
        f"repository {number}: {found[number]}, not {expected}"
        for number, path in clones.items()
        if (expected := rows(parents_of(path), refs_of(path), newest_of_each_key(said[number])))
        != found[number]
        or not expected.nearest
    ]


def parents_of(path: Path) -> dict[str, list[str]]:
    lines = git(path, "rev-list", "--all", "--parents").decode().splitlines()
    return {name: above for name, *above in (line.split() for line in lines)}


def refs_of(path: Path) -> list[Ref]:
    """Every branch and tag, aged now."""
    listed = git(
        path, "for-each-ref", "--format=%(refname) %(refname:short) %(objectname) %(committerdate:unix)"
    )
    return [
        Ref(
            short,
            tip,
            tag=name.startswith("refs/tags/"),
            default=name == "refs/heads/main",
            age=datetime.now(UTC) - datetime.fromtimestamp(int(seconds), UTC),
        )
        for name, short, tip, seconds in (line.split() for line in listed.decode().splitlines())
    ]


def test_every_upload_ends_the_newest_of_each_key_answers_and_the_graph_is_right(
    settings: Settings, reader: Reader, clones: dict[int, Path]
) -> None:
    said: dict[int, list[NaiveUpload]] = {number: [] for number in clones}
    count, interrupted = 0, 0
    victims = [(HANDS, PROJECTOR)[number % 2] for number in range(ROUNDS)]
    random.Random(SEED).shuffle(victims)
    with ExitStack() as running:
        publisher = running.enter_context(Publisher(settings))
        alive = {PROJECTOR: running.enter_context(start_projector(settings))}
        alive[HANDS] = running.enter_context(start_worker(settings, HANDS))
        for victim, wait_s in zip(victims, moments(0.2, 3.0), strict=True):
            for _ in range(-(-UPLOADS // ROUNDS) if count < UPLOADS else 0):
                said[count % REPOSITORIES + 1].append(upload(settings, publisher, clones, count))
                count += 1
            if victim == HANDS:
                ready(alive[HANDS])
            time.sleep(wait_s)
            interrupted += not ended(reader, every(said))
            family = psutil.Process(alive[victim].pid).children(recursive=True)
            alive[victim].kill()
            assert alive[victim].process.returncode == -signal.SIGKILL, "it was alive until then"
            _, left = psutil.wait_procs(family, timeout=10)
            assert not left, "who reads an index, or folds, dies with its parent"
            start = start_projector(settings) if victim == PROJECTOR else start_worker(settings, HANDS)
            alive[victim] = running.enter_context(start)
        assert interrupted > 0, "they died with work to do"
        assert count >= UPLOADS

        eventually(lambda: ended(reader, every(said)), "every upload to end", timeout_s=300)
        eventually(lambda: is_current(reader), "the graph to be current", timeout_s=60)
        assert wait_until_projected(settings) == []
        assert {part: child.terminate() for part, child in alive.items()} == {PROJECTOR: 0, HANDS: 0}
    found = all_uploads(reader)
    assert {one.id for one in found} == {one.number for one in every(said)}
    assert Counter(one.state in _FINAL for one in found) == {True: count}, "no index is at fault"
    answering = {one.number for ones in said.values() for one in newest_of_each_key(ones)}
    assert {one.id for one in found if one.visible} == answering
    assert len(answering) < count, "some were replaced"
    assert graph_problems(settings, clones, said) == []
    without_one = {number: newest_of_each_key(ones)[:-1] for number, ones in said.items()}
    assert len(graph_problems(settings, clones, without_one)) == REPOSITORIES, "it would be seen"
    blobs = BlobStore(settings.effective_blob_url)
    for one in found:
        if one.visible:
            assert one.manifest is not None
            manifest = Manifest(blobs, one.manifest)
            places = [entry.place for entry in manifest.entries()]
            assert len(places) == one.num_documents
            assert all(manifest.read(place) for place in places)


def every(said: dict[int, list[NaiveUpload]]) -> list[NaiveUpload]:
    return [one for ones in said.values() for one in ones]


def test_the_checker_sees_an_upload_that_a_dead_worker_left_behind(
    settings: Settings, reader: Reader, clones: dict[int, Path]
) -> None:
    with Publisher(settings) as publisher:
        left, other = (upload(settings, publisher, clones, number) for number in (60, 61))
        begun = UploadStateChanged(
            upload_id=left.number,
            repository_id=60 % REPOSITORIES + 1,
            from_state=UploadState.QUEUED,
            to_state=UploadState.PROCESSING,
            reason="begins to be processed",
        )
        publisher.publish([new_event(begun, source="//test", time=datetime.now(UTC))])
    with start_projector(settings):
        with start_worker(settings, HANDS, **{faults.BUG_VARIABLE: faults.LEAVE_BEHIND}) as worker:
            ready(worker)
            eventually(lambda: ended(reader, [other]), "the other upload to end")
            assert not ended(reader, [left, other])
        with start_worker(settings, HANDS):
            eventually(lambda: ended(reader, [left, other]), "both to end", timeout_s=60)
