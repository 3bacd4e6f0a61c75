"""Lists what was put aside, over all projections, the newest first. For a role that may read foreign bytes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, text

from projections.dead_letters.filters import Entry, Filter, Key, Kind
from projections.generations import LiveGeneration
from schemas.events import AggregatePlace, RecordPlace

_DEAD_LETTERS: Final = """
select '{projection}' as projection, {number} as generation, 'dead-letter' as kind, d.topic, d.partition, d."offset",
       d.key, d.append_time, d.reason, d.path, d.value, 0::bigint as waiting, null::bigint as behind
from "{schema}".dead_letters d
"""
_QUARANTINE: Final = """
select '{projection}', {number}, 'quarantined', q.topic, q.partition, q."offset", q.key, q.append_time, q.reason, '', q.value,
       case when q.behind is null then (
         select count(*) - 1 from "{schema}".quarantine w
         where w.topic = q.topic and w.partition = q.partition and w.aggregate = q.aggregate
       ) else 0 end, q.behind
from "{schema}".quarantine q
"""
_CONDITIONS: Final[Mapping[str, str]] = {
    "kind": "kind = :kind",
    "topic": "topic = :topic",
    "aggregate": "coalesce(key, ''::bytea) = :aggregate",
    "reason": "strpos(lower(reason), lower(:reason)) > 0",
    "path": "strpos(lower(path), lower(:path)) > 0",
    "since": "append_time >= :since",
    "until": "append_time < :until",
}
_KEY: Final = 'append_time, projection collate "C", topic collate "C", partition, "offset"'
_ORDER: Final = ", ".join(f"{part} desc" for part in _KEY.split(", "))
_AFTER: Final = f"({_KEY}) < (:at, :in_projection, :in_topic, :in_partition, :at_offset)"
_COLUMNS: Final = (
    'projection, generation, kind, topic, partition, "offset", key, append_time, reason, path, '
    "coalesce(octet_length(value), 0) as size_bytes, waiting, behind"
)


def entries(
    connection: Connection,
    live: Mapping[str, LiveGeneration],
    wanted: Filter,
    *,
    first: int,
    after: Key | None = None,
) -> list[Entry]:
    """At most ``first`` entries behind ``after``."""
    source, parameters = _source(live, wanted)
    if not source:
        return []
    condition = ""
    if after is not None:
        condition = f"where {_AFTER}"
        names = ("at", "in_projection", "in_topic", "in_partition", "at_offset")
        parameters |= dict(zip(names, after, strict=True))
    query = f"select {_COLUMNS} from ({source}) found {condition} order by {_ORDER} limit {int(first)}"
    rows = connection.execute(text(query), parameters).mappings()
    return [_entry(dict(row)) for row in rows]


def count(connection: Connection, live: Mapping[str, LiveGeneration], wanted: Filter) -> int:
    """How many entries there are."""
    source, parameters = _source(live, wanted)
    if not source:
        return 0
    return connection.scalar(text(f"select count(*) from ({source}) found"), parameters) or 0


def aggregates(found: Iterable[Entry]) -> dict[str, list[AggregatePlace]]:
    """The aggregates that are in quarantine with these entries, by projection, each once."""
    places: dict[str, dict[AggregatePlace, None]] = {}
    for one in found:
        if one.kind is Kind.QUARANTINED:
            place = AggregatePlace(topic=one.topic, partition=one.partition, aggregate=one.aggregate)
            places.setdefault(one.projection, {})[place] = None
    return {name: list(found) for name, found in places.items()}


def records(found: Iterable[Entry]) -> dict[str, list[RecordPlace]]:
    """The records of these entries, by projection."""
    places: dict[str, list[RecordPlace]] = {}
    for one in found:
        place = RecordPlace(topic=one.topic, partition=one.partition, offset=one.offset)
        places.setdefault(one.projection, []).append(place)
    return places


def _source(live: Mapping[str, LiveGeneration], wanted: Filter) -> tuple[str, dict[str, Any]]:
    """The rows that are wanted as one query, and its parameters."""
    parts: list[str] = []
    for name, generation in sorted(live.items()):
        if wanted.projections and name not in wanted.projections:
            continue
        place = {"projection": name, "number": generation.number, "schema": generation.schema_name}
        parts += [_DEAD_LETTERS.format(**place), _QUARANTINE.format(**place)]
    if not parts:
        return "", {}
    conditions: list[str] = [] if wanted.waiting or wanted.position else ["behind is null"]
    parameters: dict[str, Any] = {}
    for name, condition in _CONDITIONS.items():
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(condition)
            parameters[name] = value.encode() if name == "aggregate" else value
    if wanted.position is not None:
        conditions.append('topic = :at_topic and partition = :at_partition and "offset" = :at_position')
        at = wanted.position
        parameters |= {"at_topic": at.topic, "at_partition": at.partition, "at_position": at.offset}
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return f"select * from ({' union all '.join(parts)}) aside{where}", parameters


def _entry(row: dict[str, Any]) -> Entry:
    key = row.pop("key")
    return msgspec.convert({**row, "aggregate": (key or b"").decode("utf-8", "replace")}, Entry)
