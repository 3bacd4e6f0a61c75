"""What projections put aside, and what operators decided: the queries."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from ariadne import EnumType, ObjectType, QueryType

from api.commands.errors import InputRefused
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.types.admin import require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.types.repositories import PageInfo
from projections.dead_letters import listing
from projections.dead_letters.filters import Entry, Filter, Key, Kind
from projections.dead_letters.operators import as_operator
from projections.dead_letters.record import Whole, whole
from projections.generations import live_generations
from projections.operations import queries
from projections.operations.queries import Decision
from schemas.envelope import Position
from schemas.topics import Topic

MOST = 200
_CURSOR = "dead letters"
_DECISIONS = "decisions"

query = QueryType()
entry_type = ObjectType("DeadLetter")
record_type = ObjectType("DeadLetterRecord")
decision_type = ObjectType("OperatorDecision")
bytes_type = ObjectType("Bytes")
kind_type = EnumType("DeadLetterKind", {kind.name: kind for kind in Kind})


class Bytes(msgspec.Struct, frozen=True):
    """``Bytes``."""

    content: bytes

    @property
    def text(self) -> str | None:
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            return None

    @property
    def size(self) -> int:
        return len(self.content)


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """``DeadLetterConnection``."""

    nodes: Sequence[Entry]
    total_count: int
    page_info: PageInfo


class DecisionPage(msgspec.Struct, frozen=True, kw_only=True):
    """``OperatorDecisionConnection``."""

    nodes: Sequence[Decision]
    total_count: int
    page_info: PageInfo


@query.field("deadLetters")
def resolve_dead_letters(
    _: object,
    info: Info,
    filter: Mapping[str, object] | None = None,  # noqa: A002 - as the schema calls it
    first: int = 50,
    after: str | None = None,
    min_position: list[str] | None = None,
) -> EntryPage:
    require_site_admin(info)
    wanted, number = filter_of(filter), page_size(first)
    behind = None if after is None else _key(parse_cursor(_CURSOR, after))
    connection = operation_of(info).reads.snapshot.connection
    live = live_generations(connection)
    with as_operator(connection):
        found = listing.entries(connection, live, wanted, first=number + 1, after=behind)
        total = listing.count(connection, live, wanted)
    more, found = len(found) > number, found[:number]
    end = cursor(_CURSOR, found[-1].append_time.isoformat(), *found[-1].key[1:]) if found else None
    return EntryPage(nodes=found, total_count=total, page_info=PageInfo(end_cursor=end, has_next_page=more))


@query.field("deadLetter")
def resolve_dead_letter(
    _: object,
    info: Info,
    id: str,  # noqa: A002 - as the schema calls it
    min_position: list[str] | None = None,
) -> Whole | None:
    require_site_admin(info)
    name, _, at = id.partition(":")
    position = position_of(at, "id")
    connection = operation_of(info).reads.snapshot.connection
    live = live_generations(connection)
    with as_operator(connection):
        found = listing.entries(connection, live, Filter(projections=(name,), position=position), first=1)
        return whole(connection, live[name], found[0]) if found else None


@query.field("operatorDecisions")
def resolve_decisions(
    _: object,
    info: Info,
    projection: str | None = None,
    first: int = 50,
    after: str | None = None,
    min_position: list[str] | None = None,
) -> DecisionPage:
    require_site_admin(info)
    number = page_size(first)
    before = None if after is None else int(parse_cursor(_DECISIONS, after)[0])
    connection = operation_of(info).reads.snapshot.connection
    found = queries.decisions(connection, projection=projection, first=number + 1, before=before)
    more, found = len(found) > number, found[:number]
    end = cursor(_DECISIONS, found[-1].position) if found else None
    return DecisionPage(
        nodes=found,
        total_count=queries.count(connection, projection=projection),
        page_info=PageInfo(end_cursor=end, has_next_page=more),
    )


def filter_of(given: Mapping[str, object] | None) -> Filter:
    """A ``DeadLetterFilter``. Raises InputRefused."""
    named = {name: value for name, value in (given or {}).items() if value is not None}
    if "position" in named:
        named["position"] = position_of(str(named["position"]), "filter.position")
    return msgspec.convert(named, Filter)


def position_of(text: str, field: str) -> Position:
    """Raises InputRefused."""
    try:
        return Position.parse(text)
    except ValueError as error:
        raise InputRefused(field, str(error)) from error


def page_size(first: int) -> int:
    """Raises InputRefused."""
    if not 0 < first <= MOST:
        raise InputRefused("first", f"has to lie between 1 and {MOST}")
    return first


@entry_type.field("id")
def resolve_id(one: Entry, _: Info) -> str:
    return f"{one.projection}:{one.position}"


@entry_type.field("position")
def resolve_position(one: Entry, _: Info) -> str:
    return str(one.position)


@entry_type.field("behind")
def resolve_behind(one: Entry, _: Info) -> str | None:
    return None if one.behind is None else str(Position(one.topic, one.partition, one.behind))


@record_type.field("key")
def resolve_key(one: Whole, _: Info) -> Bytes | None:
    return None if one.key is None else Bytes(one.key)


@record_type.field("value")
def resolve_value(one: Whole, _: Info) -> Bytes | None:
    return None if one.value is None else Bytes(one.value)


@record_type.field("headers")
def resolve_headers(one: Whole, _: Info) -> list[dict[str, object]]:
    return [{"name": name, "value": Bytes(content)} for name, content in one.headers]


@record_type.field("waitingPositions")
def resolve_waiting(one: Whole, _: Info) -> list[str]:
    return [str(at) for at in one.waiting]


@bytes_type.field("base64")
def resolve_base64(one: Bytes, _: Info) -> str:
    return base64.b64encode(one.content).decode()


@decision_type.field("position")
def resolve_decided_at(one: Decision, _: Info) -> str:
    return str(Position(Topic.OPERATIONS.value, 0, one.position))


def _key(parts: list[int | str]) -> Key:
    try:
        at, projection, topic, partition, offset = parts
        return datetime.fromisoformat(str(at)), str(projection), str(topic), int(partition), int(offset)
    except ValueError as error:
        raise InputRefused("after", "this is no cursor of this list") from error


bindables = [query, bytes_type, entry_type, record_type, decision_type, kind_type]
