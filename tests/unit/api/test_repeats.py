"""When a repeat asks for the same thing, and what the edge remembers of what it wrote."""

from datetime import UTC, datetime, timedelta

import msgspec

from api.commands.insights import notices_in
from api.commands.repeats import same_wish
from api.recent import Recent
from schemas.accounts.events import Scope
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import InsightCreated, RepositoryRegistered, SeriesDefinition, TokenCreated
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id
from schemas.registry import Payload

AT = datetime(2026, 11, 22, tzinfo=UTC)


def created(query: str) -> InsightCreated:
    line = SeriesDefinition(
        series_id=series_id(SeriesIdentity(query=query)), label="l", query=query, unit=TimeUnit.MONTH, value=1
    )
    return InsightCreated(insight_id=7, title="T", creator="admin", created_at=AT, series=[line])


def said(payload: Payload, at: datetime = AT) -> Event:
    return new_event(payload, source="//tests", time=at)


def token(at: datetime, lasts: timedelta | None, note: str = "n") -> Event:
    """Said a moment after its end was reckoned."""
    made = TokenCreated(
        token_id=7,
        user_id=8,
        token_sha256="a" * 64,
        scopes=[Scope.READ],
        note=note,
        expires_at=None if lasts is None else at + lasts,
        created_by="admin",
    )
    return said(made, at + timedelta(milliseconds=3))


def test_a_repeat_says_the_same_at_another_moment() -> None:
    first = created("q")
    later = msgspec.structs.replace(first, created_at=AT + timedelta(minutes=5))
    assert same_wish(said(first), said(later))
    assert not same_wish(said(first), said(msgspec.structs.replace(later, description="other")))
    assert not same_wish(said(first), said(created("other")))
    one = RepositoryRegistered(repository_id=1, name="a/b", path="/srv/b")
    assert same_wish(said(one), said(msgspec.structs.replace(one)))
    assert not same_wish(said(one), said(msgspec.structs.replace(one, fork=True)))


def test_a_repeat_for_a_token_asks_for_the_same_lifetime_from_its_own_moment() -> None:
    later, hour = AT + timedelta(minutes=5), timedelta(hours=1)
    assert same_wish(token(AT, hour), token(later, hour))
    assert same_wish(token(AT, None), token(later, None))
    assert not same_wish(token(AT, hour), token(later, timedelta(seconds=3_601)))
    assert not same_wish(token(AT, hour), token(later, None))
    assert not same_wish(token(AT, None), token(later, hour))
    assert not same_wish(token(AT, hour), token(later, hour, note="other"))


def test_what_may_surprise_is_named_by_its_place() -> None:
    assert notices_in(created("plain")) == []
    (notice,) = notices_in(created("nosuch:x"))
    assert (notice["field"], notice["query"]) == ("dataSeries[0].query", "nosuch:x")


def test_the_oldest_make_room() -> None:
    recent: Recent[str, int] = Recent(most=2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        recent.add(key, value)
    assert (recent.of("a"), recent.of("b"), recent.of("c")) == ((1, 3), (), (4,))
