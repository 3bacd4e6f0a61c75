"""The commit graph in a real database: rows as the rules say, tokens and locks that let nothing get lost."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import cast

import msgspec
import pytest
from sqlalchemy import Connection as AlchemyConnection
from sqlalchemy import Engine

from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import COMMIT_GRAPH
from projections.commit_graph import queries
from projections.folding import Folding
from projections.generations import Generation
from projections.projection import Compute, Cursor, Derive
from projections.rebuild.filling import on_schema
from projections.runner.deriver import Deriver
from projections.runner.deriving import DeriveFailed, Deriving, Outcome, stale_keys
from schemas.codec import new_event
from schemas.envelope import Position
from tests.integration.projections.conftest import Connection, Place
from tests.support.graph_events import NOW, payload_of, topic_of
from tests.support.graph_facts import (
    Fact,
    Gone,
    Published,
    Pushed,
    Ref,
    Removed,
    Told,
    cut,
    facts,
    interleaved,
)
from tests.support.graph_rows import rows_of
from tests.support.keeping import eventually
from tests.support.naive_graph import NaiveRows, NaiveUpload, truth, visible_at

HISTORIES = 60
DERIVE_STEP = cast(Derive, COMMIT_GRAPH.derive)
A, B, C, D = (f"{number:040x}" for number in range(1, 5))


class Graph:
    """One generation: facts are folded in, and it is brought up to date by whoever is asked to."""

    def __init__(self, settings: Settings, connection: Connection, generation: Generation) -> None:
        self.connection = connection
        self.generation = generation
        self.settings = settings
        self._offsets: dict[str, int] = {}
        self.deriving = Deriving("commit_graph", generation.schema_name, DERIVE_STEP, connection)

    def fold(self, repository: int, *told: Fact, connection: Connection | None = None) -> None:
        """One batch."""
        events: list[Folding] = []
        for fact in told:
            topic = topic_of(fact)
            offset = self._offsets[topic] = self._offsets.get(topic, -1) + 1
            event = new_event(payload_of(fact, repository), source="//t", time=NOW)
            events.append(Folding(event, Position(topic, 0, offset), NOW))
        write = COMMIT_GRAPH.prepare(events)
        over = connection or self.connection
        with over.transaction(), over.cursor() as cursor:
            write(cursor)

    def rows(self, repository: int) -> NaiveRows:
        """The derived rows."""
        return rows_of(self.connection, repository)

    def stale(self) -> set[int]:
        return stale_keys(self.connection, self.generation.schema_name, DERIVE_STEP)


@pytest.fixture
def graph(settings: Settings, place: Callable[..., Place]) -> Graph:
    return Graph(settings, *place(COMMIT_GRAPH))


@pytest.fixture
def reading(graph: Graph, projector: Engine) -> Iterator[AlchemyConnection]:
    with projector.connect() as plain:
        yield plain.execution_options(
            isolation_level="AUTOCOMMIT",
            schema_translate_map={COMMIT_GRAPH.metadata.schema: graph.generation.schema_name},
        )


def line(*names: str) -> tuple[tuple[str, tuple[str, ...], bool], ...]:
    """Commits one below the other."""
    return tuple((name, names[:place][-1:], False) for place, name in enumerate(names))


def main(tip: str) -> tuple[Ref, ...]:
    return (Ref("main", tip, False, True, NOW - NOW),)


def test_histories_in_any_order_cut_anywhere_derived_at_any_time(graph: Graph) -> None:
    whole: dict[int, list[Fact]] = {}
    for repository in range(1, HISTORIES + 1):
        random_ = random.Random(repository)
        order = whole[repository] = interleaved(random_, facts(random_))
        for batch in cut(random_, order):
            graph.fold(repository, *batch)
            if random_.random() < 0.3:
                graph.deriving.derive(repository)
                assert repository not in graph.stale()
    graph.deriving.all()
    assert graph.stale() == set()
    made = [0, 0, 0]
    for repository, order in whole.items():
        found = graph.rows(repository)
        assert found == truth(order), f"history {repository}"
        made = [made[0] + len(found.nearest), made[1] + len(found.links), made[2] + len(found.tips)]
    assert min(made) > 10, made


def test_what_the_queries_answer_is_what_the_rules_say(graph: Graph, reading: AlchemyConnection) -> None:
    random_ = random.Random(11)
    order = facts(random_, 60, 30)
    told = interleaved(random_, order._replace(repository=[Removed(True), Pushed(9)]))
    graph.fold(1, *told)
    graph.deriving.all()
    commits = {name: list(up) for one in told if isinstance(one, Told) for name, up, is_cut in one.commits}
    out = {one.upload for one in told if isinstance(one, Gone)}
    out |= {former for one in told if isinstance(one, Published) for former in one.replaces}
    uploads = [
        # one family: scip-go has taken the place of lsif-go
        NaiveUpload(one.upload, one.commit, one.root, one.indexer.replace("lsif", "scip"))
        for one in told
        if isinstance(one, Published) and one.upload not in out
    ]
    answered = 0
    for commit in graph.rows(1).nearest.keys() | graph.rows(1).links.keys():
        found = {one.upload_id: one.distance for one in queries.nearest_uploads(reading, 1, commit)}
        assert found == visible_at(commits, list(dict.fromkeys(uploads)), commit)
        answered += len(found)
    assert answered > 20


def test_an_upload_that_is_replaced_leaves_at_once_and_the_new_one_answers_at_once(
    graph: Graph, reading: AlchemyConnection
) -> None:
    graph.fold(1, Removed(True), Pushed(0), Told(1, "l", 1, 1, line(A, B), main(B)))
    graph.fold(1, Published(1, A, "", "scip-go", ()))
    graph.deriving.all()

    def at(commit: str) -> list[tuple[int, int]]:
        return [(one.upload_id, one.distance) for one in queries.nearest_uploads(reading, 1, commit)]

    assert (at(A), at(B), at(C), at("x")) == ([(1, 0)], [(1, 1)], [], [])
    graph.fold(1, Published(2, A, "", "scip-go", (1,)), Published(3, A, "", "scip-go", (2,)))
    assert (at(A), at(B)) == ([(3, 0)], [(3, 1)])
    assert queries.graph_state(reading, 1).stale
    graph.fold(1, Gone(3, False))
    assert (at(A), at(B)) == ([], [])
    graph.deriving.all()
    assert (at(A), queries.graph_state(reading, 1).stale) == ([], False)


def test_at_a_tip_too_an_upload_that_is_replaced_gives_its_place_at_once(
    graph: Graph, reading: AlchemyConnection
) -> None:
    keys = [(repository, upload) for repository in (1, 2) for upload in range(1, 5)]

    def at_tips() -> tuple[list[tuple[int, str, bool]], set[tuple[int, int]]]:
        shown = queries.visible_at_tips(reading, 1)
        return (
            [(one.upload_id, one.commit, one.is_default) for one in shown],
            set(queries.at_default_tips(reading, keys)),
        )

    for repository in (1, 2):
        graph.fold(repository, Removed(True), Pushed(0), Told(1, "l", 1, 1, line(A, B), main(B)))
        graph.fold(repository, Published(1, A, "", "scip-go", ()))
    graph.deriving.all()
    assert at_tips() == ([(1, B, True)], {(1, 1), (2, 1)})
    graph.fold(1, Published(2, A, "", "scip-go", (1,)), Published(3, A, "", "scip-go", (2,)))
    assert at_tips() == ([(3, B, True)], {(1, 3), (2, 1)})
    assert set(queries.at_default_tips(reading, [(1, 1), (1, 2)])) == set()
    derived_later = at_tips()
    graph.deriving.all()
    assert at_tips() == derived_later
    graph.fold(1, Gone(3, False))
    assert at_tips() == ([], {(2, 1)})


def test_a_graph_is_stale_until_commits_of_the_newest_push_are_told_of(
    graph: Graph, reading: AlchemyConnection
) -> None:
    def state() -> tuple[bool, bool]:
        found = queries.graph_state(reading, 1)
        assert (found.stale_since is not None) == found.stale
        return found.stale, found.waits_for_commits

    assert queries.graph_state(reading, 1) == queries.NOTHING_KNOWN
    graph.fold(1, Removed(True), Pushed(0))
    graph.deriving.all()
    pushed = queries.untold(reading, 10)
    assert [one for one, _ in pushed] == [1]
    offset = Position.parse(pushed[0][1]).offset
    assert state() == (True, True)
    graph.fold(1, Told(offset, "l", 1, 2, line(A), main(A)))
    graph.deriving.all()
    assert state() == (True, True)
    assert queries.coverages(reading, [1]) == {}
    graph.fold(1, Told(offset, "l", 2, 2, (), ()))
    assert state() == (True, False)
    graph.deriving.all()
    assert state() == (False, False)
    assert queries.untold(reading, 10) == []
    assert queries.coverages(reading, [1, 2]) == {
        1: queries.Coverage(look_id="l", pushed_offset=offset, boundary="0" * 16, tips=(A,))
    }
    assert queries.graph_state(reading, 1).updated_at == NOW


def test_what_is_over_is_not_kept_and_a_late_part_of_it_changes_nothing(graph: Graph) -> None:
    graph.fold(1, Pushed(0), Told(0, "a", 1, 2, line(A), main(A)))
    graph.fold(1, Told(1, "b", 1, 1, line(A, B), main(B)))
    graph.fold(1, Told(0, "a", 2, 2, (), ()))
    left = graph.connection.execute(
        "select look_id from lsif_commit_looks union select look_id from lsif_refs"
    )
    assert left.fetchall() == [("b",)]


def test_another_ancestor_at_the_same_distance_is_another_link(graph: Graph) -> None:
    """The reference's update asked for another ancestor *and* another distance."""
    both = (Published(1, A, "", "scip-go", ()), Published(2, A, "api/", "scip-go", ()))
    graph.fold(1, Told(0, "l", 1, 1, line(A, B), main(B)), *both)
    graph.deriving.all()
    assert graph.rows(1).links == {B: (A, 1)}
    graph.connection.execute(
        "update lsif_nearest_uploads_links set ancestor_commit_bytea = %s", (bytes.fromhex(C),)
    )
    graph.fold(1, Pushed(1))
    graph.deriving.all()
    assert graph.rows(1).links == {B: (A, 1)}


def test_rows_that_stay_are_not_written_again(graph: Graph) -> None:
    graph.fold(1, Told(0, "l", 1, 1, line(A, B, C), main(C)), Published(1, A, "", "scip-go", ()))
    graph.deriving.all()
    before = graph.connection.execute("select ctid, * from lsif_nearest_uploads order by 3").fetchall()
    graph.fold(1, Published(2, C, "", "scip-go", ()))
    graph.deriving.all()
    after = graph.connection.execute("select ctid, * from lsif_nearest_uploads order by 3").fetchall()
    assert before[:2] == after[:2]
    assert before[2] != after[2]


def test_a_mark_while_the_graph_is_made_leaves_it_stale(graph: Graph) -> None:
    graph.fold(1, Told(0, "l", 1, 1, line(A, B), main(B)), Published(1, A, "", "scip-go", ()))
    with connect(graph.settings, Role.PROJECTOR, autocommit=True) as other:
        other.execute(f'set search_path to "{graph.generation.schema_name}"'.encode())

        def read(cursor: Cursor, key: int) -> Compute:
            compute = DERIVE_STEP.read(cursor, key)

            def slow() -> Callable[[Cursor], int]:
                graph.fold(1, Published(2, B, "", "scip-go", ()), connection=other)
                return compute()

            return slow

        slow = msgspec.structs.replace(DERIVE_STEP, read=read)
        deriving = Deriving("commit_graph", graph.generation.schema_name, slow, graph.connection)
        assert deriving.derive(1) is Outcome.DERIVED
    assert graph.rows(1).nearest[B] == {1: 1}
    assert graph.stale() == {1}
    assert graph.deriving.derive(1) is Outcome.DERIVED
    assert graph.rows(1).nearest[B] == {2: 0}
    assert graph.deriving.derive(1) is Outcome.CLEAN


def test_two_do_not_work_on_one_key(graph: Graph) -> None:
    graph.fold(1, Pushed(0))
    with on_schema(graph.settings, graph.generation.schema_name) as other:
        held = Deriving("commit_graph", graph.generation.schema_name, DERIVE_STEP, other)
        with held._locked(1) as is_mine:
            assert is_mine
            assert graph.deriving.derive(1) is Outcome.HELD
    assert graph.deriving.derive(1) is Outcome.DERIVED


def test_a_bug_at_one_key_leaves_it_stale_and_the_others_go_on(graph: Graph) -> None:
    broken = threading.Event()
    broken.set()

    def read(cursor: Cursor, key: int) -> Compute:
        if key == 2 and broken.is_set():
            raise ZeroDivisionError("a bug")
        return DERIVE_STEP.read(cursor, key)

    faulty = msgspec.structs.replace(COMMIT_GRAPH, derive=msgspec.structs.replace(DERIVE_STEP, read=read))
    assert faulty.derive is not None
    for repository in (1, 2, 3):
        graph.fold(repository, Pushed(0))
    deriving = Deriving("commit_graph", graph.generation.schema_name, faulty.derive, graph.connection)
    with pytest.raises(DeriveFailed, match="a bug"):
        deriving.derive(2)
    moved = threading.Event()
    deriver = Deriver(
        faulty,
        graph.generation,
        lambda: on_schema(graph.settings, graph.generation.schema_name),
        moved.set,
    )
    deriver.start()
    try:
        assert eventually(lambda: graph.stale() == {2})
        assert moved.wait(5.0)
        graph.fold(1, Pushed(1))
        deriver.wake()
        assert eventually(lambda: graph.stale() == {2})
    finally:
        broken.clear()
        deriver.close()
    assert deriving.derive(2) is Outcome.DERIVED


def test_four_that_derive_while_others_fold_end_at_the_same_rows(graph: Graph) -> None:
    whole = {number: _order(number) for number in range(1, 9)}
    with ExitStack() as open_:
        derivers = [
            Deriver(
                COMMIT_GRAPH,
                graph.generation,
                lambda: on_schema(graph.settings, graph.generation.schema_name),
            )
            for _ in range(4)
        ]
        for deriver in derivers:
            deriver.start()
            open_.callback(deriver.close)
        for batch in _together(whole):
            for repository, told in batch:
                graph.fold(repository, *told)
            for deriver in derivers:
                deriver.wake()
        assert eventually(lambda: not graph.stale())
    for repository, order in whole.items():
        assert graph.rows(repository) == truth(order)


def _order(seed: int) -> list[Fact]:
    random_ = random.Random(1_000 + seed)
    return interleaved(random_, facts(random_))


def _together(whole: dict[int, list[Fact]]) -> Iterable[list[tuple[int, list[Fact]]]]:
    """Parts of all histories, side by side."""
    parts = {repository: cut(random.Random(repository), order) for repository, order in whole.items()}
    while any(parts.values()):
        yield [(repository, left.pop(0)) for repository, left in parts.items() if left]
