"""The history checker: what was acknowledged, what is on the log, what the tables show. It names every difference.

It knows nothing of the faults. A checker that has never failed proves nothing: the tests with a bug switched on are
its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import psycopg

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS
from projections.reading import Reader
from projections.verification.verify import verify
from schemas.codec import encode
from schemas.envelope import Event, Record
from schemas.topics import Topic
from tests.support.load import Acknowledged
from tests.support.model import Model, Verdict, model_of
from tests.support.projecting import month

Session = psycopg.Connection[tuple[Any, ...]]
K = TypeVar("K")
_SHOWN: Final = 3
_ENVELOPES: Final = "event_index"
"""Reads envelopes only: what is no event has no place in it, and is a dead letter of the others."""
_WAIT_S: Final = 90.0
_MONTHS: Final = {month(index): index for index in range(590, 760)}


def wait_until_projected(settings: Settings, timeout_s: float = _WAIT_S) -> list[str]:
    """Wait until every projection has passed the ends of the log as they are now; those that have not."""
    with KafkaAdmin(settings) as admin:
        ends = {
            (topic.value, number): marks.end
            for topic in sorted({topic for one in PROJECTIONS for topic in one.topics})
            for number, marks in admin.watermarks(topic).items()
        }
    database = engine(settings, Role.APP, pool_size=2)
    reader = Reader(database)
    try:
        return [
            f"{one.name} has not passed the ends of the log within {timeout_s:g} s"
            for one in PROJECTIONS
            if not reader.wait_until(one.name, ends, timeout_s)
        ]
    finally:
        reader.close()
        database.dispose()


def check(settings: Settings, acknowledged: Sequence[Acknowledged]) -> list[str]:
    """Everything that is wrong, in words; empty when nothing is. The projections have to stand still."""
    records = list(read_log(settings))
    return [
        *_lost_from_log(acknowledged, records),
        *_tables(settings, model_of(records)),
        *_replayed(settings),
    ]


def read_log(settings: Settings, topics: Sequence[Topic] = tuple(Topic)) -> Iterator[Record]:
    """Every record of these topics, each partition in order."""
    with KafkaAdmin(settings) as admin:
        known = admin.topics()
        marks = {
            (topic.value, number): at
            for topic in topics
            if topic.value in known
            for number, at in admin.watermarks(topic).items()
            if at.end > at.start
        }
    left: dict[tuple[str, int], int] = {place: at.end for place, at in marks.items()}
    with LogReader(settings) as reader:
        reader.assign({place: at.start for place, at in marks.items()})
        while left:
            for record in reader.poll(2_000, 0.2):
                yield record
                place = (record.topic, record.partition)
                if record.offset + 1 >= left.get(place, record.offset + 2):
                    del left[place]


def _lost_from_log(acknowledged: Sequence[Acknowledged], records: Sequence[Record]) -> list[str]:
    values = {record.position: record.value for record in records}
    lost = [
        one.position
        for one in acknowledged
        if values.get(one.position)
        != (encode(one.said)[1] if isinstance(one.said, Event) else one.said.value)
    ]
    return [f"{len(lost)} acknowledged records are not on the log, the first {lost[0]}"] if lost else []


def _tables(settings: Settings, model: Model) -> list[str]:
    with connect(settings, Role.PROJECTOR) as session:
        schemas: dict[str, str] = dict(
            session.execute("select projection, schema_name from runtime.generations").fetchall()
        )

        def rows(projection: str, query: str) -> list[tuple[Any, ...]]:
            return session.execute(query.format(schema=f'"{schemas[projection]}"').encode()).fetchall()

        repositories = rows(
            "repositories",
            "select id, name, removed_at is not null, tip, registered_at is not null from {schema}.repo_names",
        )
        return [
            *_differences(
                "repositories",
                model.repositories,
                {row[0]: (row[1], row[2]) for row in repositories if row[4]},
            ),
            *_differences("tips", model.tips, {row[0]: row[3] for row in repositories if row[3] is not None}),
            *_differences(
                "insights",
                model.insights,
                {
                    row[0]: (row[1], row[2])
                    for row in rows(
                        "insights",
                        "select id, title, deleted_at is not null from {schema}.insight_view where title is not null",
                    )
                },
            ),
            *_differences(
                "settings",
                model.settings,
                dict(rows("settings", "select key, value from {schema}.site_settings")),
            ),
            *_differences(
                "jobs",
                {key: (job.requested, job.completed, job.failed) for key, job in model.jobs.items()},
                {
                    (row[0], row[1]): tuple(row[2:])
                    for row in rows(
                        "recordings",
                        "select repository_id, request_id, requested_at is not null, completed_at is not null,"
                        " failed_final is true from {schema}.insights_query_runner_jobs"
                        " where requested_at is not null or completed_at is not null or failed_at is not null",
                    )
                },
            ),
            *_differences(
                "points",
                model.points,
                {
                    (row[0], row[1], _MONTHS[row[2]]): int(row[3])
                    for row in rows(
                        "series_points", "select series_id, repo_id, time, value from {schema}.series_points"
                    )
                },
            ),
            *_differences("verdicts", model.verdicts, _verdicts(rows)),
            *_differences(
                "versions",
                {aggregate: version for aggregate, version in model.versions.items() if version},
                {
                    (row[0], row[1]): row[2]
                    for owner in ("repositories", "insights", "settings")
                    for row in rows(owner, "select topic, aggregate, version from {schema}.guards")
                },
            ),
            *(
                problem
                for one in PROJECTIONS
                if one.name != _ENVELOPES
                for problem in _differences(
                    f"dead letters of {one.name}",
                    dict.fromkeys(place for place in model.dead if place[0] in one.topics),
                    dict.fromkeys(
                        tuple(row)
                        for row in rows(
                            one.name, 'select topic, partition, "offset" from {schema}.dead_letters'
                        )
                    ),
                )
            ),
        ]


def _verdicts(rows: Any) -> dict[tuple[str, int, int], Verdict]:
    return {
        (row[0], row[1], row[2]): Verdict(*row[3:])
        for owner in ("repositories", "insights", "settings")
        for row in rows(
            owner, 'select topic, partition, "offset", outcome, version, of_offset from {schema}.verdicts'
        )
    }


def _differences(what: str, expected: Mapping[K, object], found: Mapping[K, object]) -> list[str]:
    lost = [key for key in expected if key not in found]
    more = [key for key in found if key not in expected]
    other = [key for key in expected if key in found and expected[key] != found[key]]
    said = [
        f"{what}: {len(keys)} {name}, such as {keys[:_SHOWN]}"
        for name, keys in (("lost", lost), ("too many", more))
        if keys
    ]
    if other:
        shown = [(key, expected[key], found[key]) for key in other[:_SHOWN]]
        said.append(f"{what}: {len(other)} wrong (key, expected, found), such as {shown}")
    return said


def _replayed(settings: Settings) -> list[str]:
    return [
        f"{one.projection} is not what a clean replay gives: {one.outcome.value} {one.reason}"
        f" {one.different} of {one.rows} rows differ, such as {one.differences[:_SHOWN]}"
        for one in verify(settings)
        if not one.equal
    ]
