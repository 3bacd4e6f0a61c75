"""The newest report and the last hour of every group, in ``runtime``: written by whoever samples, read by all."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from infra.postgres.runtime import lag_reports, lag_samples
from projections.lag.model import GroupReport, HistoryPoint, LagReport
from projections.lag.states import State

KEPT: Final = timedelta(hours=1)
STALE_AFTER_S: Final = 20.0
"""A report that is older tells how it was, and not how it is."""
_SLOT_S: Final = 5
_SLOTS: Final = int(KEPT.total_seconds()) // _SLOT_S
_ONLY: Final = 1
_DECODER: Final = msgspec.json.Decoder(LagReport)


def keep(connection: Connection, report: LagReport) -> None:
    """Replace the report, and put each group into the ring of the last hour; in the caller's transaction."""
    body = msgspec.json.encode(report).decode()
    one = insert(lag_reports).values(id=_ONLY, sampled_at=report.sampled_at, report=body)
    connection.execute(
        one.on_conflict_do_update(
            index_elements=["id"], set_={"sampled_at": one.excluded.sampled_at, "report": one.excluded.report}
        )
    )
    slot = int(report.sampled_at.timestamp()) // _SLOT_S % _SLOTS
    rows = [
        {
            "slot": slot,
            "group_name": group.group,
            "sampled_at": report.sampled_at,
            "records": group.records,
            "seconds": group.seconds,
            "state": group.state.value,
        }
        for group in report.groups
    ]
    if rows:
        many = insert(lag_samples).values(rows)
        connection.execute(
            many.on_conflict_do_update(
                index_elements=["slot", "group_name"],
                set_={name: many.excluded[name] for name in ("sampled_at", "records", "seconds", "state")},
            )
        )


def forget(connection: Connection, now: datetime) -> None:
    """Remove what is older than the ring: groups that are gone leave their last hour behind."""
    connection.execute(delete(lag_samples).where(lag_samples.c.sampled_at < now - KEPT))


def latest_report(connection: Connection) -> LagReport | None:
    """The newest one, however old; None: nobody has ever sampled. Any role may ask."""
    body = connection.scalar(select(lag_reports.c.report).where(lag_reports.c.id == _ONLY))
    return None if body is None else _DECODER.decode(body)


def lag_report(connection: Connection) -> Sequence[GroupReport]:
    """The groups of the newest report."""
    found = latest_report(connection)
    return () if found is None else found.groups


def age_s(report: LagReport) -> float:
    """How old it is, by this machine's clock."""
    return max(0.0, (datetime.now(UTC) - report.sampled_at).total_seconds())


def as_known(report: LagReport, interval_s: float = 0.0) -> LagReport:
    """The report itself while it is fresh; afterwards what it still tells: how it was, and that nobody knows how it is."""
    if age_s(report) < STALE_AFTER_S + interval_s:
        return report
    reason = f"nobody has looked since {report.sampled_at:%Y-%m-%d %H:%M:%S} UTC: no projector runs (millstream projector)"
    groups = tuple(
        msgspec.structs.replace(one, state=State.UNKNOWN, reason=reason, eta_s=None, rate=None, slope=None)
        for one in report.groups
    )
    canary = msgspec.structs.replace(
        report.canary, latency_s=None, reason="nobody sends any: no projector runs"
    )
    return msgspec.structs.replace(report, groups=groups, canary=canary, problems=(reason,))


def history(connection: Connection, groups: Sequence[str] = ()) -> dict[str, list[HistoryPoint]]:
    """The last hour of these groups (none named: of all), oldest first."""
    columns = lag_samples.c
    query = (
        select(columns.group_name, columns.sampled_at, columns.records, columns.seconds, columns.state)
        .where(columns.sampled_at > datetime.now(UTC) - KEPT)
        .order_by(columns.group_name, columns.sampled_at)
    )
    if groups:
        query = query.where(columns.group_name.in_(groups))
    found: dict[str, list[HistoryPoint]] = {}
    for row in connection.execute(query):
        point = HistoryPoint(at=row.sampled_at, records=row.records, seconds=row.seconds, state=row.state)
        found.setdefault(row.group_name, []).append(point)
    return found
