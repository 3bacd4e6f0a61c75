"""The rules of legality, as tables: who may follow whom, and what a repeat or a wrong version gives."""

from collections.abc import Collection, Sequence

import pytest

from infra.topics import all_topics
from schemas.accounts import legal as accounts
from schemas.accounts.names import user_id
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    REGISTRY,
    BackfillCancelled,
    BackfillMoved,
    BackfillPaused,
    BackfillResumed,
    BackfillRetried,
    InsightCreated,
    InsightDeleted,
    QueueEnd,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
    SeriesDefinition,
    SettingsChanged,
    UserAdminChanged,
    UserCreated,
    UserDeleted,
)
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id
from schemas.insights import legal as insights
from schemas.legality import RULES, Accepted, AggregateState, Duplicate, Judgement, Rejected
from schemas.monitors import legal as monitors
from schemas.operations import legal as operations
from schemas.registry import Payload
from schemas.repositories import legal as repositories
from schemas.settings import legal as settings
from schemas.topics import Topic
from schemas.uploads import legal as uploads
from tests.support.projecting import T0

REGISTERED = RepositoryRegistered(repository_id=1, name="a/b", path="/p")
UPDATED = RepositoryUpdated(repository_id=1, fork=True)
RENAMED = RepositoryRenamed(repository_id=1, name="a/c")
REMOVED = RepositoryRemoved(repository_id=1)
CREATED = InsightCreated(
    insight_id=7,
    title="t",
    creator="c",
    created_at=T0,
    series=[
        SeriesDefinition(
            series_id=series_id(SeriesIdentity(query="q")),
            label="l",
            query="q",
            unit=TimeUnit.MONTH,
            value=1,
        )
    ],
)
DELETED = InsightDeleted(insight_id=7)
OPENED = UserCreated(user_id=user_id("ann"), username="ann", created_by="c")
PROMOTED = UserAdminChanged(user_id=user_id("ann"), site_admin=True, changed_by="c")
CLOSED = UserDeleted(user_id=user_id("ann"), deleted_by="c")
CONTROLS: tuple[Payload, ...] = (
    BackfillPaused(insight_id=7),
    BackfillPaused(insight_id=7),
    BackfillResumed(insight_id=7),
    BackfillResumed(insight_id=7),
    BackfillCancelled(insight_id=7),
    BackfillRetried(insight_id=7),
    BackfillMoved(insight_id=7, to=QueueEnd.FRONT),
)
CHANGED = SettingsChanged(key="insights.query.worker.concurrency", value=3, changed_by="c")
OK = "accepted"


def said(payload: Payload, event_id: str | None = None, *, expects: int | None = None) -> Event:
    return new_event(payload, source="//t", time=T0, event_id=event_id, expected_version=expects)


def run(events: Sequence[Event]) -> list[Judgement]:
    """What a guard says of one aggregate's events, each at the offset of its place."""
    states: dict[str, AggregateState] = {}
    ids: dict[tuple[str, str], int] = {}
    found: list[Judgement] = []
    for offset, event in enumerate(events):
        judgement = RULES[event.type.topics[0]](states.get(event.subject, AggregateState()), event, ids)
        if isinstance(judgement, Accepted):
            states[event.subject] = judgement.state
            ids[event.source, event.id] = offset
        found.append(judgement)
    return found


def shown(judgement: Judgement) -> str:
    return (
        judgement.reason_code.value if isinstance(judgement, Rejected) else type(judgement).__name__.lower()
    )


@pytest.mark.parametrize(
    ("payloads", "expected"),
    [
        ((REGISTERED, UPDATED, RENAMED, REMOVED), (OK, OK, OK, OK)),
        ((REGISTERED, REGISTERED), (OK, OK)),
        ((REGISTERED, REMOVED, REGISTERED, UPDATED), (OK, OK, OK, OK)),
        ((UPDATED, RENAMED, REMOVED, REGISTERED), ("unknown", "unknown", "unknown", OK)),
        ((REGISTERED, REMOVED, UPDATED, RENAMED, REMOVED), (OK, OK, "removed", "removed", "removed")),
        ((CREATED, *CONTROLS, DELETED), (OK,) * 9),
        ((CREATED, CREATED), (OK, "exists")),
        ((CREATED, DELETED, CREATED, DELETED, *CONTROLS), (OK, OK, *["deleted"] * 9)),
        ((DELETED, *CONTROLS, CREATED), (*["unknown"] * 8, OK)),
        ((CHANGED, CHANGED), (OK, OK)),
        ((PROMOTED, OPENED, OPENED, PROMOTED), ("unknown", OK, "exists", OK)),
        ((OPENED, CLOSED, OPENED, PROMOTED), (OK, OK, "deleted", "deleted")),
    ],
)
def test_what_may_follow(payloads: Sequence[Payload], expected: Sequence[str]) -> None:
    found = run([said(payload) for payload in payloads])
    assert [shown(one) for one in found] == list(expected)
    versions = [one.state.version for one in found if isinstance(one, Accepted)]
    assert versions == list(range(1, len(versions) + 1)), "the version is the number accepted"


def test_a_repeat_is_a_duplicate_of_the_accepted_one_whatever_version_it_expects() -> None:
    first = said(CREATED, "e-1", expects=0)
    found = run([first, said(DELETED, "e-2", expects=1), first, said(DELETED, "e-2", expects=1)])
    assert found[2:] == [Duplicate(0), Duplicate(1)]


def test_an_expected_version_is_compared_and_both_are_named() -> None:
    found = run([said(REGISTERED, expects=0), said(UPDATED, expects=0), said(UPDATED, expects=1)])
    assert [shown(one) for one in found] == [OK, "wrong-version", OK]
    assert isinstance(found[1], Rejected)
    assert "version 0" in found[1].reason
    assert "version 1" in found[1].reason


def test_a_rejected_id_is_judged_anew() -> None:
    update = said(UPDATED, "e-1")
    found = run([update, said(REGISTERED, "e-2"), update, update])
    assert [shown(one) for one in found] == ["unknown", OK, OK, "duplicate"]
    assert found[3] == Duplicate(2)


@pytest.mark.parametrize(
    ("topic", "rule"),
    [
        (Topic.REPOSITORIES, repositories.LIFE_AFTER),
        (Topic.INSIGHTS, insights.LIFE_AFTER),
        (Topic.SETTINGS, settings.LIFE_AFTER),
        (Topic.OPERATIONS, operations.LIFE_AFTER),
        (Topic.UPLOADS, uploads.GUARDED),
        (Topic.ACCOUNTS, accounts.LIFE_AFTER),
        (Topic.MONITORS, monitors.LIFE_AFTER),
    ],
)
def test_every_guarded_type_has_its_rule(topic: Topic, rule: Collection[type[Payload]]) -> None:
    assert {one.payload for one in REGISTRY if one.guarded and topic in one.topics} == set(rule)


def test_guarded_topics_are_those_with_rules() -> None:
    assert {topic for one in REGISTRY if one.guarded for topic in one.topics} == set(RULES)
    assert {spec.name for spec in all_topics(8) if spec.guarded} == set(RULES)
