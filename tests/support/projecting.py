"""Events on positions, and generations in a database of one's own, for tests of projections."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from pydantic import SecretStr
from sqlalchemy import Engine

from infra.installation import set_up_database
from infra.settings import Settings
from projections.folding import Folding
from projections.generations import Generation, ensure_generation
from projections.projection import Gatherer, Projection, Write
from schemas.codec import encode, new_event
from schemas.envelope import Event, Position, Record
from schemas.events import (
    IncompleteCell,
    SearchCompleted,
    SearchFailed,
    SeriesResult,
    SnapshotCount,
    SnapshotOutcome,
)
from schemas.grid import Interval, TimeUnit
from schemas.ids import SeriesIdentity, series_id
from schemas.registry import Payload

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SERIES = series_id(SeriesIdentity(query="q0"))
OTHER_SERIES = series_id(SeriesIdentity(query="q1"))
COMMIT = "c" * 40
Row = tuple[object, ...]
Tables = dict[str, list[Row]]


def event(payload: Payload, *, at: int = 0, event_id: str | None = None) -> Event:
    """``payload`` said ``at`` seconds after T0."""
    return new_event(payload, source="//test", time=T0 + timedelta(seconds=at), event_id=event_id)


def folding(said: Event, offset: int, *, topic: str | None = None, partition: int = 0) -> Folding:
    """``said`` at a position of its topic."""
    return Folding(said, Position(topic or said.type.topics[0], partition, offset), said.time)


def foldings(payloads: Iterable[Payload]) -> list[Folding]:
    """Each payload a second and an offset after the one before."""
    return [folding(event(payload, at=offset), offset) for offset, payload in enumerate(payloads)]


def record(said: Event, offset: int, *, topic: str | None = None, partition: int = 0) -> Record:
    """``said`` as it lies on the log."""
    key, value, headers = encode(said)
    return Record(
        topic or said.type.topics[0],
        partition,
        offset,
        int(said.time.timestamp() * 1000),
        key,
        value,
        headers,
    )


def result(
    values: Mapping[int, int],
    *,
    covered: Sequence[tuple[int, int]] | None = None,
    incomplete: Mapping[int, tuple[int, str]] | None = None,
    series_id: str = SERIES,
    captures: Sequence[tuple[int, str, int]] | None = None,
    snapshot: SnapshotCount | None = None,
) -> SeriesResult:
    """Monthly counts by grid index; ``covered`` is by default exactly these indexes."""
    if captures is not None:
        indexes, names, counts = zip(*captures, strict=True)
        return SeriesResult(
            series_id=series_id,
            unit=TimeUnit.MONTH,
            value=1,
            covered=list(covered or [(index, index + 1) for index in sorted(set(indexes))]),
            indexes=list(indexes),
            values=list(counts),
            captures=list(names),
            commit_refs=[0] * len(indexes),
            snapshot=snapshot,
        )
    return SeriesResult(
        series_id=series_id,
        unit=TimeUnit.MONTH,
        value=1,
        covered=list(covered if covered is not None else [(index, index + 1) for index in values]),
        indexes=[index for index, value in values.items() if value],
        values=[value for value in values.values() if value],
        commit_refs=[0 for value in values.values() if value],
        snapshot=snapshot,
        incomplete=[
            IncompleteCell(index=index, value=value, reason=reason, commit_ref=0)
            for index, (value, reason) in (incomplete or {}).items()
        ],
    )


def completed(
    *series: SeriesResult,
    repository_id: int = 1,
    attempt: int = 1,
    matcher: int = 1,
    request_id: str = "r-1",
    insight_id: int = 7,
    pushed_offset: int | None = None,
    tip: str | None = COMMIT,
    limits: str | None = None,
) -> SearchCompleted:
    """A result of one repository; of the push at ``pushed_offset``, where its series have snapshots."""
    return SearchCompleted(
        request_id=request_id,
        repository_id=repository_id,
        insight_id=insight_id,
        attempt=attempt,
        matcher_version=matcher,
        engine="git",
        series=list(series),
        commits=[COMMIT],
        snapshot=(
            None
            if pushed_offset is None
            else SnapshotOutcome(commit=tip, pushed_offset=pushed_offset, limits=limits)
        ),
    )


def failed(payload: SearchCompleted, reason: str = "timeout", *, final: bool = True) -> SearchFailed:
    """What could have been ``payload``."""
    from schemas.events import FailedSeries

    return SearchFailed(
        request_id=payload.request_id,
        repository_id=payload.repository_id,
        insight_id=payload.insight_id,
        attempt=payload.attempt,
        reason=reason,
        message="it was slow",
        final=final,
        series=[
            FailedSeries(series_id=one.series_id, unit=one.unit, value=one.value, frames=one.covered)
            for one in payload.series
        ],
    )


def month(index: int) -> datetime:
    """The instant of a monthly grid index."""
    return Interval(TimeUnit.MONTH).instant(index)


def settings_for(database_url: str, home: Path, kafka_bootstrap: str = "") -> Settings:
    """Settings of an installation in this database, with roles and ``runtime`` made."""
    settings = Settings(home=home, database_url=SecretStr(database_url), kafka_bootstrap=kafka_bootstrap)
    set_up_database(settings)
    return settings


def fold_into(
    connection: "psycopg.Connection[tuple[object, ...]]",
    projection: Projection | Gatherer,
    batches: Iterable[Sequence[Folding]],
) -> None:
    """Fold and write each batch in a transaction of its own. The connection has the generation's search path."""
    for batch in batches:
        write = _folded(projection, batch)
        with connection.transaction(), connection.cursor() as cursor:
            write(cursor)


def _folded(projection: Projection | Gatherer, batch: Sequence[Folding]) -> Write:
    if isinstance(projection, Projection):
        return projection.prepare(batch)
    middle = len(batch) // 2  # in pieces, as it is read
    projection.add(batch[:middle])
    projection.add(batch[middle:])
    return projection.take()


def tables_of(
    connection: "psycopg.Connection[tuple[object, ...]]", projection: Projection, schema: str
) -> Tables:
    """Every table's declared columns without bookkeeping, ordered by primary key, COLLATE "C"."""
    found: Tables = {}
    for table in projection.metadata.sorted_tables:
        out = projection.bookkeeping.get(table.name, frozenset())
        columns = ", ".join(f'"{column.name}"' for column in table.columns if column.name not in out)
        order = ", ".join(
            f'"{column.name}" collate "C"' if str(column.type) == "TEXT" else f'"{column.name}"'
            for column in table.primary_key
        )
        found[table.name] = connection.execute(
            f'select {columns} from "{schema}"."{table.name}" order by {order}'.encode()
        ).fetchall()
    return found


def new_generation(engine: Engine, projection: Projection) -> Generation:
    """The generation that this build writes, made when absent."""
    return ensure_generation(engine, projection)
