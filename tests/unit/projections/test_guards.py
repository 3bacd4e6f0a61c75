"""The guard over batches: the same prefix of a partition has the same verdicts, however it is cut and however late it is written."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from projections.folding import Folding
from projections.runner.guards import Decisions, Guards, Known, Said
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    BackfillPaused,
    InsightDeleted,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryUpdated,
    SettingsChanged,
    UploadDescription,
    UploadState,
    UploadStateChanged,
)
from schemas.legality import RULES, Accepted, AggregateState, Judgement
from schemas.registry import Payload
from tests.support.projecting import COMMIT, T0, folding


class Rows:
    """The rows of a generation, written batch by batch."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, int, str], AggregateState] = {}
        self.ids: dict[Said, int] = {}
        self.loads = 0

    def load(self, asked: Sequence[Said]) -> Mapping[Said, Known]:
        self.loads += 1
        assert len(set(asked)) == len(asked)
        return {said: Known(self.states.get(said[0], AggregateState()), self.ids.get(said)) for said in asked}

    def write(self, decisions: Decisions) -> None:
        self.states |= decisions.states()
        for one in decisions.all:
            if isinstance(one.judgement, Accepted):
                assert one.said not in self.ids, "accepted twice"
                self.ids[one.said] = one.position.offset
        decisions.written = True


def upload(number: int, before: UploadState | None, after: UploadState) -> UploadStateChanged:
    """One of two uploads of one repository: of one record key."""
    described = UploadDescription(
        commit=COMMIT, root="", indexer="i", format="scip", uploaded_by="c", created_at=T0
    )
    return UploadStateChanged(
        upload_id=number,
        repository_id=7,
        from_state=before,
        to_state=after,
        reason="r",
        upload=described if before is None else None,
    )


def payloads() -> st.SearchStrategy[Payload]:
    number = st.integers(1, 2)
    return st.one_of(
        number.map(lambda n: RepositoryRegistered(repository_id=n, name="a/b", path="/p")),
        number.map(lambda n: RepositoryUpdated(repository_id=n, fork=True)),
        number.map(lambda n: RepositoryRemoved(repository_id=n)),
        number.map(lambda n: BackfillPaused(insight_id=n)),
        number.map(lambda n: InsightDeleted(insight_id=n)),
        number.map(lambda n: upload(n, None, UploadState.UPLOADING)),
        number.map(lambda n: upload(n, UploadState.UPLOADING, UploadState.FAILED)),
        st.just(SettingsChanged(key="insights.query.worker.concurrency", value=1, changed_by="c")),
    )


events = st.builds(
    lambda payload, event_id, source, expects: new_event(
        payload, source=f"//{source}", time=T0, event_id=f"e-{event_id}", expected_version=expects
    ),
    payloads(),
    st.integers(0, 8),
    st.integers(0, 1),
    st.one_of(st.none(), st.integers(0, 4)),
)


def one_by_one(said: Sequence[Folding]) -> list[Judgement]:
    """The rule itself, with everything in hand."""
    states: dict[tuple[str, int, str], AggregateState] = {}
    ids: dict[tuple[str, int, str], dict[tuple[str, str], int]] = {}
    found: list[Judgement] = []
    for one in said:
        aggregate = (one.position.topic, one.position.partition, one.event.subject)
        known = ids.setdefault(aggregate, {})
        judgement = RULES[one.position.topic](states.get(aggregate, AggregateState()), one.event, known)
        if isinstance(judgement, Accepted):
            states[aggregate] = judgement.state
            known[one.event.source, one.event.id] = one.position.offset
        found.append(judgement)
    return found


@given(
    said=st.lists(st.tuples(events, st.integers(0, 1)), max_size=40),
    cuts=st.lists(st.integers(1, 7), min_size=40, max_size=40),
    late=st.lists(st.integers(0, 3), min_size=40, max_size=40),
    reassigned=st.sets(st.integers(0, 39), max_size=3),
)
def test_the_same_prefix_has_the_same_verdicts(
    said: list[tuple[Event, int]], cuts: list[int], late: list[int], reassigned: set[int]
) -> None:
    log = [folding(event, offset, partition=partition) for offset, (event, partition) in enumerate(said)]
    rows = Rows()
    guards = Guards(rows.load)
    unwritten: list[Decisions] = []
    found: list[Judgement] = []
    place = 0
    for number, (size, behind) in enumerate(zip(cuts, late, strict=True)):
        batch = log[place : place + size]
        place += size
        if not batch:
            break
        if number in reassigned:
            while unwritten:
                rows.write(unwritten.pop(0))
            guards.forget()
        before = rows.loads
        decisions = guards.judge(batch)
        assert rows.loads <= before + 1
        found += [one.judgement for one in decisions.all]
        unwritten.append(decisions)
        while len(unwritten) > behind:
            rows.write(unwritten.pop(0))
    assert found == one_by_one(log)[: len(found)]
    assert len(found) == len(log)
