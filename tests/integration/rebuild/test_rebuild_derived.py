"""A projection with a derive step on a real log: kept live, rebuilt beside itself, verified; derived rows are compared too."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import zip_longest

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, text

from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.catalogue import COMMIT_GRAPH
from projections.commit_graph.queries import graph_states
from projections.commit_graph.step import DERIVE
from projections.generations import live_generations
from projections.projection import Compute, Cursor, Projection, Write
from projections.reading import Reader
from projections.rebuild import closing, control
from projections.rebuild.control import Rebuild, RebuildState
from projections.rebuild.derived import older_keys
from projections.rebuild.execution import run_rebuild
from projections.rebuild.holding import Target, lead
from projections.verification.verify import Outcome, verify
from schemas.codec import new_event
from schemas.envelope import Event
from tests.support.graph_events import NOW, life_before, payload_of
from tests.support.graph_facts import Published, facts, interleaved
from tests.support.keeping import eventually, keeping, rebuilt
from tests.support.running import running

REPOSITORIES = range(1, 13)


SEEDS = range(10, 60)
"""Of what arrives a little at a time, each about repositories of its own: nothing may happen to one twice."""


def of_seed(seed: int) -> range:
    return range(seed * 100, seed * 100 + len(REPOSITORIES))


ARRIVING = [repository for seed in SEEDS for repository in of_seed(seed)]


def told(seed: int, repositories: range = REPOSITORIES) -> list[Event]:
    """What happens to all repositories, as it may legally happen."""
    events: list[Event] = []
    for repository in repositories:
        random_ = random.Random(seed * 100 + repository)
        begun: set[int] = set()
        for fact in interleaved(random_, facts(random_)):
            base = seed * 1_000
            if isinstance(fact, Published) and fact.upload not in begun:
                begun.add(fact.upload)
                events += [_event(one) for one in life_before(fact, repository, base)]
            events.append(_event(payload_of(fact, repository, base)))
    return events


def _event(payload: object) -> Event:
    return new_event(payload, source="//test", time=NOW)  # type: ignore[arg-type]


class Watching:
    """Reads the graphs' times of being brought up to date, again and again, and notes each that went back."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._newest: dict[int, datetime] = {}
        self._stop = threading.Event()
        self.reads = 0
        self.generations: list[int] = []
        self.back: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._reader.snapshot(("commit_graph",)) as snapshot:
                live = snapshot.generations["commit_graph"].number
                found = graph_states(snapshot.connection, ARRIVING)
            for key in ARRIVING:
                at = found[key].updated_at if key in found else None
                before = self._newest.get(key)
                if before is not None and (at is None or at < before):
                    self.back.append(f"repository {key} in g{live}: {before} and then {at}")
                if at is not None:
                    self._newest[key] = at
            if self.generations[-1:] != [live]:
                self.generations.append(live)
            self.reads += 1


@contextmanager
def arriving(publisher: Publisher) -> Iterator[None]:
    """A few events at a time, as long as the block lasts."""
    stop = threading.Event()

    def run() -> None:
        for seed in SEEDS:
            each = [told(seed, range(one, one + 1)) for one in of_seed(seed)]
            events = [one for row in zip_longest(*each) for one in row if one is not None]
            for at in range(0, len(events), 10):
                if stop.wait(0.05):
                    return
                publisher.publish(events[at : at + 10])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def slowly(each_s: float) -> Projection:
    """The graph's projection with a step that takes its time, as it does for graphs of a hundred thousand commits."""
    never = threading.Event()

    def read(cursor: Cursor, key: int) -> Compute:
        compute = DERIVE.read(cursor, key)

        def later() -> Write:
            never.wait(each_s)
            return compute()

        return later

    return replace(COMMIT_GRAPH, derive=replace(DERIVE, read=read))


def test_a_swap_waits_until_no_derived_row_is_older_than_readers_have_seen_it(
    settings: Settings,
    projector: Engine,
    publisher: Publisher,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(closing, "_DERIVE_S", 2.0)
    rows: list[Rebuild] = []

    def waits() -> bool:
        return any("derived rows" in one.reason for one in rows)

    with running(settings, COMMIT_GRAPH) as live:
        before = live.generations[0].number
        ordered = control.order(projector, "commit_graph", ordered_by="tester")
        slow = slowly(each_s=0.2)
        work = threading.Thread(
            target=lambda: rows.append(
                run_rebuild(settings, ordered.id, threading.Event(), rows.append, slow)
            )
        )
        with Watching(reader) as watching:
            with arriving(publisher):
                assert eventually(lambda: watching.reads > 5)
                work.start()
                assert eventually(lambda: waits() or not work.is_alive(), 90.0), rows[-1:]
            work.join(90.0)
            assert eventually(lambda: watching.generations[-1:] == [ordered.generation]), rows[-1].differences
    assert watching.back == []
    assert watching.generations == [before, ordered.generation]
    done = rows[-1]
    assert (done.state, done.reason, done.differences) == (RebuildState.SWAPPED, "", [])
    assert waits(), "there was something to wait for"


def test_live_rebuilt_and_verified(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    def live_schema() -> str:
        with projector.connect() as connection:
            return live_generations(connection)["commit_graph"].schema_name

    def count(where: str) -> int:
        with projector.connect() as connection:
            return int(connection.scalar(text(f"select count(*) from {live_schema()}.{where}")) or 0)

    def current() -> bool:
        return not count("lsif_dirty_repositories where dirty_token > update_token")

    with keeping(settings, COMMIT_GRAPH):
        positions = publisher.publish(told(1))
        assert reader.wait_for("commit_graph", positions, 60.0)
        assert eventually(current)
        assert count("lsif_nearest_uploads") > 50

        more = threading.Thread(target=lambda: publisher.publish(told(2)))
        more.start()
        done = rebuilt(settings, control.order(projector, "commit_graph", ordered_by="tester"))
        more.join()
        assert (done.state, done.reason, done.differences) == (RebuildState.SWAPPED, "", [])
        assert live_schema().endswith(f"g{done.generation}")
        assert eventually(current)

        (equal,) = verify(settings, ["commit_graph"])
        assert (equal.outcome, equal.differences) == (Outcome.EQUAL, [])

    # What nobody derives any more is stale in the live one: it is left out. What is not stale is compared.
    with projector.begin() as connection:
        schema = live_schema()
        changed = connection.scalar(
            text(
                f"update {schema}.lsif_nearest_uploads set uploads = '{{}}' where ctid ="
                f" (select min(ctid) from {schema}.lsif_nearest_uploads) returning repository_id"
            )
        )
    (different,) = verify(settings, ["commit_graph"])
    assert (different.outcome, different.different) == (Outcome.DIFFERENT, 1)
    with projector.begin() as connection:
        connection.execute(
            text(f"update {schema}.lsif_dirty_repositories set update_token = 0 where repository_id = :key"),
            {"key": changed},
        )
    (stale,) = verify(settings, ["commit_graph"])
    assert stale.outcome is Outcome.EQUAL


def test_nobody_is_led_to_derived_rows_that_are_older(settings: Settings, projector: Engine) -> None:
    """Behind the others here: the last swap left two generations, and nobody works on them now."""
    with projector.connect() as connection:
        live = live_generations(connection)["commit_graph"]
        (name,) = connection.execute(
            text("select schema_name from runtime.kept_generations where projection = 'commit_graph'")
        ).one()
    kept = Target(
        number=int(name.rpartition("_g")[2]),
        schema_name=name,
        version=live.version,
        fingerprint=live.fingerprint,
    )

    def write(change: str, schema: str = name) -> None:
        with projector.begin() as connection:
            connection.execute(
                text(f"update {schema}.lsif_dirty_repositories set {change} where repository_id = 3")
            )

    def older() -> list[int]:
        with projector.connect() as connection:
            return older_keys(connection, DERIVE, live, kept)

    def led() -> bool:
        return lead(projector, live, kept, lambda _: True, lambda _: None, DERIVE) is not None

    write("update_token = dirty_token, updated_at = dirtied_at")
    write("update_token = dirty_token, updated_at = dirtied_at", live.schema_name)
    assert older() == []
    write("update_token = dirty_token - 1")
    assert (older(), led()) == ([3], False)
    write("update_token = 0, updated_at = null", live.schema_name)
    assert older() == [], "stale in both, and further here"
    write("updated_at = null")
    write("update_token = 0, updated_at = dirtied_at", live.schema_name)
    assert (older(), led()) == ([3], False)
    write("update_token = dirty_token, updated_at = dirtied_at")
    assert (older(), led()) == ([], True)
