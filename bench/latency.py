"""How long from an event to the answer that shows it? And from a commit to the moved point?

    python -m bench.latency [--events 30000] [--rate 500] [--pushes 20]

Open loop: event k is due at k / rate, whatever became of those before it, and its latency counts from then. Each is a
``search.completed`` with a value of its own for a cell of its own. Every 20 ms one columnar query reads all cells that are still
awaited; an event counts as visible at the first answer that shows its value. Meanwhile insights over generated
repositories are created one after the other, so that a backfill always runs. Then commits are made to a followed repository and told
as a git hook tells them; ``push_to_chart_ms`` is the time from the commit to the answer with the new sum.
Without a backfill that was counted meanwhile there are no figures.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import text

from bench.running import FRAMES, SOURCE, UNIT, ask, is_counted, register, running, until
from bench.sample import sample_repository
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from projections.reading import Reader
from projections.series_points import queries as series_points
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    RepositoryRefreshRequested,
    SearchCompleted,
    SeriesDefinition,
    SeriesResult,
)
from schemas.grid import Interval
from schemas.ids import SeriesIdentity, derived_event_id, series_id, stable_id
from tests.support.repositories import git

REPOSITORIES: Final = 500
"""Cells of one watched series: about a second's worth of events."""
LOOK_S: Final = 0.02
_SAMPLES: Final = 6
_WAIT_S: Final = 60.0
_PUSH_WORD: Final = "moved_by_a_push"

_WATCHED: Final = """
select series_id, array_agg(repo_id), array_agg(value) from "{schema}".series_points
where series_id = any(:ids) group by 1
"""
"""The columns of the awaited series: one row each."""


class Watch:
    """Which events are awaited, and when each was seen. Filled by one thread, read by another."""

    def __init__(self, number: int) -> None:
        self.series = [f"watched {place}" for place in range(-(-number // REPOSITORIES))]
        self.ids = [series_id(SeriesIdentity(query=name, unit=UNIT.value)) for name in self.series]
        self.due_s = [0.0] * number
        self.seen_s: list[float | None] = [None] * number
        self.sent = 0
        self._first_open = 0

    def awaited(self) -> list[str]:
        """The series with an event that is due and not seen."""
        while self._first_open < self.sent and self.seen_s[self._first_open] is not None:
            self._first_open += 1
        places = {k // REPOSITORIES for k in range(self._first_open, self.sent) if self.seen_s[k] is None}
        return [self.ids[place] for place in sorted(places)]

    def answer(self, rows: Sequence[tuple[str, Sequence[int], Sequence[float]]], now_s: float) -> None:
        """Note what an answer shows. Raises SystemExit for a value that is not the event's."""
        place_of = {identity: place for place, identity in enumerate(self.ids)}
        for identity, repositories, values in rows:
            for repository, value in zip(repositories, values, strict=True):
                k = place_of[identity] * REPOSITORIES + repository
                if value != k + 1:
                    raise SystemExit(f"the cell of event {k} shows {value}, not {k + 1}")
                if self.seen_s[k] is None:
                    self.seen_s[k] = now_s


def measure(folder: Path, number: int, rate: float, pushes: int) -> Mapping[str, float]:
    """The figures. Raises SystemExit when an answer is wrong, or an event is never seen."""
    paths = [sample_repository(folder / f"sample{place}") for place in range(_SAMPLES)]
    with ExitStack() as undo:
        settings = undo.enter_context(running(folder / "home"))
        publisher = undo.enter_context(Publisher(settings))
        database = make_engine(settings, Role.WORKER, pool_size=4, name="bench")
        undo.callback(database.dispose)
        reader = Reader(database)
        undo.callback(reader.close)
        ids = register(paths, publisher, reader)
        watch = Watch(number)
        over = threading.Event()
        backfill = Backfill(sorted(ids), publisher, reader, over)
        threads = [
            threading.Thread(target=backfill.run, name="backfill"),
            threading.Thread(target=_send, args=(watch, publisher, rate), name="sender"),
        ]
        for thread in threads:
            thread.start()
        try:
            _look_until_all_seen(watch, reader, number)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        if not backfill.cells:
            raise SystemExit("no backfill was done meanwhile: take more events, or a lower rate")
        pushed_ms = [_push(paths[0], next(iter(ids)), place, publisher, reader) for place in range(pushes)]
    latencies_ms = sorted(
        ((seen or 0.0) - due) * 1000 for seen, due in zip(watch.seen_s, watch.due_s, strict=True)
    )
    return {
        "events": number,
        "rate_per_s": rate,
        "p50_ms": round(statistics.median(latencies_ms), 1),
        "p99_ms": round(latencies_ms[int(len(latencies_ms) * 0.99)], 1),
        "max_ms": round(latencies_ms[-1], 1),
        "backfill_cells_meanwhile": backfill.cells,
        "push_to_chart_ms": round(statistics.median(pushed_ms[1:]), 1) if pushes > 1 else 0.0,
        "push_to_chart_max_ms": round(max(pushed_ms[1:]), 1) if pushes > 1 else 0.0,
    }


def _send(watch: Watch, publisher: Publisher, rate: float) -> None:
    """Publish what is due, all at once; a slow acknowledgement makes the next ones late, and counts."""
    number = len(watch.due_s)
    index = Interval(UNIT).newest(1, datetime.now(UTC)).start
    began_s = time.perf_counter() + 0.1
    for k in range(number):
        watch.due_s[k] = began_s + k / rate
    while watch.sent < number:
        now_s = time.perf_counter()
        end = min(number, max(0, int((now_s - began_s) * rate) + 1))
        if end <= watch.sent or now_s < began_s:
            time.sleep(0.001)
            continue
        events = [_event(watch, k, index) for k in range(watch.sent, end)]
        watch.sent = end
        publisher.publish(events)


def _event(watch: Watch, k: int, index: int) -> Event:
    """Event k: the value k + 1 for repository k % REPOSITORIES of its series."""
    identity = watch.ids[k // REPOSITORIES]
    repository = k % REPOSITORIES
    payload = SearchCompleted(
        request_id=f"bench-{k}",
        repository_id=repository,
        insight_id=stable_id("bench"),
        attempt=1,
        matcher_version=1,
        engine="bench",
        series=[
            SeriesResult(
                series_id=identity,
                unit=UNIT,
                value=1,
                covered=[(index, index + 1)],
                indexes=[index],
                values=[k + 1],
            )
        ],
    )
    event_id = derived_event_id("search.completed", payload.request_id, 1)
    return new_event(payload, source=SOURCE, time=datetime.now(UTC), event_id=event_id)


def _look_until_all_seen(watch: Watch, reader: Reader, number: int) -> None:
    last_news_s, seen = time.perf_counter(), 0
    while seen < number:
        look_s = time.perf_counter()
        awaited = watch.awaited()
        if awaited:
            with reader.snapshot(("series_points",)) as snapshot:
                schema = snapshot.generations["series_points"].schema_name
                rows = snapshot.connection.execute(text(_WATCHED.format(schema=schema)), {"ids": awaited})
                found = [(row[0], row[1], row[2]) for row in rows]
            watch.answer(found, time.perf_counter())
        now_seen = number - watch.seen_s.count(None)
        if now_seen > seen:
            seen, last_news_s = now_seen, time.perf_counter()
        elif time.perf_counter() - last_news_s > _WAIT_S:
            raise SystemExit(f"{number - seen} events were not seen within {_WAIT_S:.0f} s")
        time.sleep(max(0.0, LOOK_S - (time.perf_counter() - look_s)))


class Backfill:
    """One insight after the other over the same repositories, each with a query that was not counted before."""

    def __init__(
        self, repositories: list[int], publisher: Publisher, reader: Reader, over: threading.Event
    ) -> None:
        self._repositories = repositories
        self._publisher = publisher
        self._reader = reader
        self._over = over
        self.cells = 0

    def run(self) -> None:
        """Until ``over`` is set."""
        number = 0
        while not self._over.is_set():
            number += 1
            line = ask(f"# {number}", self._repositories, self._publisher)
            until(lambda line=line: self._over.is_set() or self._done(line), "a backfill", poll_s=0.05)  # type: ignore[misc]

    def _done(self, line: SeriesDefinition) -> bool:
        if not is_counted(self._reader, line):
            return False
        self.cells += len(self._repositories) * FRAMES
        return True


def _push(path: Path, repository: int, place: int, publisher: Publisher, reader: Reader) -> float:
    """Milliseconds from the event that tells of a commit to the sum that counts it. The first push also asks for the series."""
    line = ask(_PUSH_WORD, [repository], publisher) if place == 0 else None
    identity = series_id(SeriesIdentity(query=_PUSH_WORD, unit=UNIT.value, repositories=[repository]))
    if line is not None:
        until(lambda: _sum(reader, identity) is not None, "the first snapshot")
    _commit(path, place)
    began_s = time.perf_counter()
    told = RepositoryRefreshRequested(repository_id=repository)
    publisher.publish([new_event(told, source=SOURCE, time=datetime.now(UTC))])
    until(lambda: _sum(reader, identity) == place + 1, f"push {place + 1} on the chart")
    return (time.perf_counter() - began_s) * 1000


def _sum(reader: Reader, identity: str) -> float | None:
    with reader.snapshot(("series_points",)) as snapshot:
        found = series_points.snapshots(snapshot.connection, [identity])[identity]
    return sum(one.value for one in found.values()) if found else None


def _commit(path: Path, place: int) -> None:
    """One commit on the default branch of a bare repository, with one occurrence more than before."""
    lines = "\n".join(f"{_PUSH_WORD} {number}" for number in range(place + 1)) + "\n"
    blob = git(path, "hash-object", "-w", "--stdin", stdin=lines.encode()).decode().strip()
    kept = [line for line in git(path, "ls-tree", "HEAD").splitlines() if not line.endswith(b"\tpushed.txt")]
    entries = b"\n".join([*kept, f"100644 blob {blob}\tpushed.txt".encode()]) + b"\n"
    tree = git(path, "mktree", stdin=entries).decode().strip()
    made = git(path, "commit-tree", tree, "-p", "HEAD", "-m", f"push {place}").decode().strip()
    git(path, "update-ref", "HEAD", made)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Exits with 1 when an answer is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--rate", type=float, default=500.0, help="events per second")
    parser.add_argument("--pushes", type=int, default=20)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        figures = measure(Path(folder), options.events, options.rate, options.pushes)
    print(json.dumps({"bench": "latency", "checked": True, "figures": dict(figures)}))


if __name__ == "__main__":
    main()
