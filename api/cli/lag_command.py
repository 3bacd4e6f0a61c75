"""``millstream lag``: how far every reader of the log is behind, how it does, and why."""

import sys
import time
from collections.abc import Sequence
from typing import Final

import click
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Engine

from api.cli.output import console, print_json, print_table
from api.lag_words import duration, number, per_second
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings, load_settings
from projections.lag.model import GroupReport, LagReport, PartitionReport
from projections.lag.sampler import look_once
from projections.lag.states import ALARMS, State
from projections.lag.store import STALE_AFTER_S, age_s, latest_report
from schemas.errors import MillstreamError

_REFRESH_S: Final = 2.0
_STYLES: Final = {State.OK: "green", State.EMPTY: "dim", State.REPLAYING: "cyan", State.WARN: "yellow"}
_HEADINGS: Final = ("GROUP", "STATE", "RECORDS", "SECONDS", "RATE", "ETA", "HEADROOM", "REASON")


class NoSuchGroup(MillstreamError):
    """A group was named that nobody reads under."""


@click.command(epilog="Example: millstream lag --watch   or, in a script: millstream lag --check --json")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--group", "named", metavar="NAME", help="This group or projection only.")
@click.option("--partitions", is_flag=True, help="Each partition, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--check", is_flag=True, help="Exit code 1 when a reader is stopped, stalled, or worse.")
def lag(watch: bool, named: str | None, partitions: bool, as_json: bool, check: bool) -> None:
    """How far every reader of the log is behind: projections, agents, and consumer groups that are not ours.

    SECONDS is the time since the append of the next record to read; ETA the time until nothing waits, at this pace, by the
    slowest partition; HEADROOM the time until what waits may be deleted. The states are explained in docs/lag.md.
    """
    settings = load_settings()
    database = engine(settings, Role.PROJECTOR, pool_size=1, name="cli")
    try:
        if watch and not as_json:
            _watch(settings, database, named, partitions)
            return
        report = current(settings, database)
    finally:
        database.dispose()
    groups = _chosen(report, named)
    if as_json:
        print_json(plain(report, groups, partitions=partitions))
    else:
        print_table(_HEADINGS, _rows(groups, partitions), empty="No reader has begun yet.")
        click.echo(_below(report))
    if check and any(one.state in ALARMS for one in groups):
        sys.exit(1)


def current(settings: Settings, database: Engine) -> LagReport:
    """The newest report, or a look of our own when nobody samples (what only time can tell is UNKNOWN then)."""
    with database.connect() as connection:
        found = latest_report(connection)
    if found is not None and age_s(found) < STALE_AFTER_S + settings.lag_interval_s:
        return found
    return look_once(settings, database)


def _watch(settings: Settings, database: Engine, named: str | None, partitions: bool) -> None:
    if not sys.stdout.isatty():
        while True:  # for a pipe: one table after the other
            report = current(settings, database)
            print_table(_HEADINGS, _rows(_chosen(report, named), partitions))
            click.echo(_below(report) + "\n")
            sys.stdout.flush()
            time.sleep(_REFRESH_S)
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            report = current(settings, database)
            table = Table(box=None, pad_edge=False, header_style="bold", caption=_below(report))
            for heading in _HEADINGS:
                table.add_column(heading, overflow="fold", no_wrap=heading not in ("GROUP", "REASON"))
            for row in _rows(_chosen(report, named), partitions):
                style = _STYLES.get(State(row[1]), "bold red")
                table.add_row(*(escape(cell) for cell in row), style=None if style == "green" else style)
            live.update(table, refresh=True)
            time.sleep(_REFRESH_S)


def _chosen(report: LagReport, named: str | None) -> Sequence[GroupReport]:
    if named is None:
        return report.groups
    found = [one for one in report.groups if named in (one.group, one.name)]
    if not found:
        known = ", ".join(sorted({one.name for one in report.groups}))
        raise NoSuchGroup(f"nobody reads as {named!r}", remedy=f"There are: {known}.")
    return found


def _rows(groups: Sequence[GroupReport], partitions: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in groups:
        rows.append(
            (
                one.name if one.generation is None else f"{one.name} g{one.generation}",
                one.state.value,
                number(one.records),
                duration(one.seconds),
                per_second(one.rate),
                duration(one.eta_s),
                duration(one.expires_in_s),
                one.reason,
            )
        )
        if partitions:
            rows += [_of_partition(part) for part in one.partitions]
    return rows


def _of_partition(one: PartitionReport) -> tuple[str, ...]:
    return (
        f"  {one.topic}/{one.partition}",
        one.state.value,
        number(one.records),
        duration(one.seconds),
        per_second(one.rate),
        duration(one.eta_s),
        duration(one.expires_in_s),
        one.reason,
    )


def _below(report: LagReport) -> str:
    canary = report.canary
    told = f"canary {canary.latency_s * 1000:.0f} ms" if canary.latency_s is not None else "no canary"
    if canary.reason:
        told += f" ({canary.reason})"
    return f"\nlooked at {report.sampled_at:%H:%M:%S} UTC by {report.sampled_by}; {told}"


def plain(report: LagReport, groups: Sequence[GroupReport], *, partitions: bool) -> dict[str, object]:
    """The report as JSON."""
    canary = report.canary
    return {
        "sampledAt": report.sampled_at,
        "sampledBy": report.sampled_by,
        "canary": {
            "sentAt": canary.sent_at,
            "latencySeconds": canary.latency_s,
            "waitingSeconds": canary.waiting_s,
            "reason": canary.reason,
        },
        "groups": [_plain_group(one, partitions) for one in groups],
    }


def _plain_group(one: GroupReport, partitions: bool) -> dict[str, object]:
    found: dict[str, object] = {
        "kind": one.kind.value,
        "name": one.name,
        "group": one.group,
        "generation": one.generation,
        "state": one.state.value,
        "reason": one.reason,
        "records": one.records,
        "seconds": one.seconds,
        "ratePerSecond": one.rate,
        "arrivalPerSecond": one.arrival,
        "slopePerSecond": one.slope,
        "etaSeconds": one.eta_s,
        "headroomSeconds": one.expires_in_s,
        "headroomRecords": one.headroom_records,
        "members": one.members,
        "worst": one.worst,
        "window": [
            {"at": point.at, "nextOffset": point.next_offset, "end": point.end, "records": point.records}
            for point in one.window
        ],
    }
    if partitions:
        found["partitions"] = [_plain_partition(part) for part in one.partitions]
    return found


def _plain_partition(one: PartitionReport) -> dict[str, object]:
    return {
        "topic": one.topic,
        "partition": one.partition,
        "state": one.state.value,
        "reason": one.reason,
        "nextOffset": one.next_offset,
        "start": one.start,
        "end": one.end,
        "records": one.records,
        "seconds": one.seconds,
        "ratePerSecond": one.rate,
        "arrivalPerSecond": one.arrival,
        "etaSeconds": one.eta_s,
        "headroomSeconds": one.expires_in_s,
        "headroomRecords": one.headroom_records,
    }


commands: list[click.Command] = [lag]
