"""Real workers on a real stack follow the present: pushes told and seen, repositories that come and go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.reading import Reader
from projections.repositories import queries as repositories
from schemas.events import (
    Lane,
    PatternType,
    RepositoryPushed,
    RepositoryRemoved,
    RepositoryRenamed,
    SearchCompleted,
    SeriesKind,
)
from schemas.settings.known import POLL_INTERVAL_S
from schemas.topics import Topic
from tests.integration.streams.children import Child, start_worker
from tests.integration.streams.following import (
    commit,
    counted_frames,
    newest,
    projected,
    refresh,
    requests_of,
    setting,
    wait_newest,
)
from tests.integration.streams.log import events_on
from tests.integration.streams.sources import make_repository
from tests.integration.streams.test_workers import insight, registration
from tests.support.system import eventually
from tests.unit.streams.events import definition, event


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[Reader]:
    with projected(settings) as found:
        yield found


@pytest.fixture(scope="module")
def worker(settings: Settings, reader: Reader) -> Iterator[Child]:
    with start_worker(settings) as found:
        yield found


def test_a_push_moves_the_newest_count_by_the_difference(
    settings: Settings,
    publisher: Publisher,
    admin: KafkaAdmin,
    reader: Reader,
    worker: Child,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "pushed"
    one, two = make_repository(folder, "r1", 1), make_repository(folder, "r2", 2)
    first = [registration(one), registration(two, by_url=True)]
    ids = {one: int(first[0].key), two: int(first[1].key)}
    series = definition("needle repo:/pushed/")
    captured = definition(
        r"patternType:regexp (needle \w+) repo:/pushed/",
        kind=SeriesKind.CAPTURE,
        pattern_type=PatternType.REGEXP,
    )
    publisher.publish(first)
    publisher.publish([insight("pushed", [series, captured])])
    wait_newest(reader, series, {ids[one]: 2, ids[two]: 3})
    tips = {path: commit(path, "c.txt", "needle one\nneedle two\nneedle three\n") for path in (one, two)}
    publisher.publish([refresh(ids[one]), refresh(ids[two])])
    wait_newest(reader, series, {ids[one]: 5, ids[two]: 6})
    wait_newest(reader, captured, {ids[one]: 4})
    found = newest(reader, series)
    assert [(found[ids[path]].commit, found[ids[path]].reason) for path in (one, two)] == [
        (tips[one], None),
        (tips[two], None),
    ]
    labels = newest(reader, captured)[ids[one]].captures
    assert labels == {"needle of": 1, "needle one": 1, "needle two": 1, "needle three": 1}

    asked = [
        request
        for request in requests_of(settings, admin, ids[one])
        if request.snapshot is not None and request.snapshot.commit == tips[one]
    ]
    assert [(request.lane, request.snapshot is not None) for request in asked] == [(Lane.SCHEDULED, True)]
    assert asked[0].snapshot is not None
    assert asked[0].snapshot.base_commit is not None
    by_series = {one.series_id: one for one in asked[0].series}
    assert (by_series[series.series_id].base_value, by_series[captured.series_id].base_value) == (2, None)
    results = [
        found.data
        for found in events_on(settings, admin, [Topic.RESULTS])
        if isinstance(found.data, SearchCompleted) and found.data.request_id == asked[0].request_id
    ]
    assert [result.snapshot and result.snapshot.commit for result in results] == [tips[one]]
    pushes = [
        found.data
        for found in events_on(settings, admin, [Topic.REPOSITORIES])
        if isinstance(found.data, RepositoryPushed) and found.data.tip == tips[one]
    ]
    assert [push.previous_tip for push in pushes] == [asked[0].snapshot.base_commit]


def test_a_move_that_nobody_tells_of_is_seen(
    publisher: Publisher, reader: Reader, worker: Child, tmp_path: Path
) -> None:
    path = make_repository(tmp_path / "seen", "r", 1)
    registered, series = registration(path), definition("needle repo:/seen/")
    publisher.publish([registered])
    publisher.publish([insight("seen", [series])])
    wait_newest(reader, series, {int(registered.key): 2})
    publisher.publish([setting(POLL_INTERVAL_S, 1)])
    try:
        commit(path, "c.txt", "needle\n")
        wait_newest(reader, series, {int(registered.key): 3})
    finally:
        publisher.publish([setting(POLL_INTERVAL_S, None)])


def test_repositories_come_are_renamed_go_and_come_back(
    settings: Settings,
    publisher: Publisher,
    admin: KafkaAdmin,
    reader: Reader,
    worker: Child,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "moving"
    first, late = make_repository(folder, "r1", 1), make_repository(folder, "r2", 2)
    series = definition("needle repo:/moving/")
    created = insight("moving", [series])
    registered, came = registration(first), registration(late)
    one, two = int(registered.key), int(came.key)
    publisher.publish([registered])
    publisher.publish([created])
    wait_newest(reader, series, {one: 2})
    publisher.publish([came])
    wait_newest(reader, series, {one: 2, two: 3})
    eventually(
        lambda: len(counted_frames(reader, series).get(two, ())) == 3, "the past of the one that came later"
    )
    before = counted_frames(reader, series)[one]
    publisher.publish([event(RepositoryRenamed(repository_id=one, name="tests.example/moving/other-name"))])
    commit(first, "c.txt", "needle\n")
    publisher.publish([refresh(one)])
    wait_newest(reader, series, {one: 3})
    assert counted_frames(reader, series)[one] == before

    publisher.publish([event(RepositoryRemoved(repository_id=two))])
    commit(late, "c.txt", "needle\n")
    publisher.publish([refresh(two)])
    commit(first, "c.txt", "needle needle\n")
    publisher.publish([refresh(one)])
    wait_newest(reader, series, {one: 4})
    assert newest(reader, series)[two].value == 3, "it is followed no longer"
    publisher.publish([registration(late)])
    wait_newest(reader, series, {two: 4})
    with reader.snapshot(("repositories",)) as snapshot:
        assert repositories.by_ids(snapshot.connection, [two])[two].removed_at is None
