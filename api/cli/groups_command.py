"""``millstream groups``: consumer groups, who is in them, and setting their offsets."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import click

from api.cli.output import print_json, print_table, typed, warn
from api.cli.times import Moment
from api.groups.kinds import Kind, ResetRefused, kind_of
from api.groups.resetting import Plan, carry_out, plan
from api.groups.targets import To, Wish
from infra.kafka.admin import GroupDescription, KafkaAdmin, Partition, Watermarks
from infra.kafka.errors import TopicMissing
from infra.settings import load_settings

_PLACE: Final = re.compile(r"(?P<topic>.+?)(?::(?P<partitions>\d+(?:,\d+)*))?")


@click.group(epilog="Example: millstream groups describe millstream-hands")
def groups() -> None:
    """Consumer groups: list them, look into one, set its offsets."""


@groups.command("list", epilog="Example: millstream groups list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def list_(as_json: bool) -> None:
    """Every consumer group of the cluster, whoever's it is."""
    with KafkaAdmin(load_settings()) as admin:
        there = admin.describe_groups()
        offsets = admin.offsets_of_groups(there)
        ends = _watermarks(admin, {place[0] for one in offsets.values() for place in one})
    shown = [
        {
            "group": name,
            "kind": kind_of(name).value,
            "state": one.state,
            "members": len(one.members),
            "records": _behind(offsets.get(name, {}), ends),
        }
        for name, one in sorted(there.items())
    ]
    if as_json:
        print_json(shown)
        return
    print_table(
        ("GROUP", "KIND", "STATE", "MEMBERS", "RECORDS BEHIND"),
        [
            (
                str(one["group"]),
                str(one["kind"]),
                str(one["state"]),
                str(one["members"]),
                f"{one['records']:,}",
            )
            for one in shown
        ],
        empty="Nobody reads in a group yet.",
    )


@groups.command("describe", epilog="Example: millstream groups describe millstream-heads --json")
@click.argument("group")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def describe(group: str, as_json: bool) -> None:
    """Members of a group, and per partition what it has committed and what the log holds."""
    with KafkaAdmin(load_settings()) as admin:
        there = admin.describe_groups()
        found = there.get(group)
        if found is None:
            raise ResetRefused(
                f"there is no consumer group {group}",
                remedy="millstream groups list shows those that there are",
            )
        offsets = admin.group_offsets(group)
        owned = {place: one for one in found.members for place in one.partitions}
        marks = _watermarks(admin, {place[0] for place in (*offsets, *owned)})
    places = sorted({*offsets, *owned})
    if as_json:
        print_json(_described(found, offsets, marks))
        return
    click.echo(f"{group}: {kind_of(group).value}, {found.state}")
    if kind_of(group) is Kind.PROJECTION:
        click.echo(
            "The checkpoint rows in the database say where a projection reads; these offsets are advice."
        )
    print_table(
        ("CLIENT", "HOST", "MEMBER", "PARTITIONS"),
        [(one.client_id, one.host, one.member_id, str(len(one.partitions))) for one in found.members],
        empty="Nobody is in it." if not found.is_read else "The coordinator does not name its members.",
    )
    click.echo("")
    print_table(
        ("TOPIC", "PARTITION", "COMMITTED", "LOG START", "LOG END", "BEHIND", "READ BY"),
        [
            (
                place[0],
                str(place[1]),
                str(offsets.get(place, "-")),
                _number(marks, place, "start"),
                _number(marks, place, "end"),
                f"{_behind({place: offsets[place]}, marks):,}" if place in offsets else "-",
                owned[place].client_id if place in owned else "-",
            )
            for place in places
        ],
        empty="Nothing is committed.",
    )


@groups.command(
    "reset",
    epilog="Example: millstream groups reset nightly-export --topic millstream.results:0,3 --to-time 2026-11-01 --dry-run",
)
@click.argument("group")
@click.option(
    "--topic", "place", required=True, metavar="TOPIC[:P,P]", help="A topic, or some of its partitions."
)
@click.option("--to-earliest", is_flag=True, help="The first record that is there.")
@click.option("--to-latest", is_flag=True, help="What comes from now on.")
@click.option("--to-offset", type=click.IntRange(min=0), help="This offset.")
@click.option(
    "--to-time", type=Moment(), metavar="TIME", help="The first record appended at this time or later."
)
@click.option("--shift", type=int, help="So many records on; back with a negative number.")
@click.option("--dry-run", is_flag=True, help="Show what it would do, and do nothing.")
@click.option(
    "--confirm", metavar="GROUP", help="The group's name once more; without it the name is asked for."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def reset(
    group: str,
    place: str,
    to_earliest: bool,
    to_latest: bool,
    to_offset: int | None,
    to_time: datetime | None,
    shift: int | None,
    dry_run: bool,
    confirm: str | None,
    as_json: bool,
) -> None:
    """Set where a group reads next. Nobody may be in it, and its name has to be typed.

    A projection's group is always refused: the database says where a projection reads. Of our agents' groups it is said
    what will be done twice, and what not at all.
    """
    wish = _wish(to_earliest, to_latest, to_offset, to_time, shift)
    topic, partitions = _place(place)
    with KafkaAdmin(load_settings()) as admin:
        planned = plan(admin, group, topic, partitions, wish)
        if not as_json:
            _show_plan(planned)
        if not dry_run and planned.changes:
            typed(group, confirm, "set its offsets", "nothing was changed")
            carry_out(admin, planned)
            planned = _with_now(planned, admin.group_offsets(group))
    if as_json:
        print_json(_plan_json(planned, done=not dry_run and planned.changes))
    elif dry_run:
        click.echo("Nothing was changed: this was a dry run.")
    elif planned.changes:
        click.echo(f"{group} reads from there when somebody joins it.")
    else:
        click.echo("It stands there already: nothing was changed.")


def _wish(
    to_earliest: bool, to_latest: bool, to_offset: int | None, to_time: datetime | None, shift: int | None
) -> Wish:
    wishes = [
        *([Wish(to=To.EARLIEST)] if to_earliest else []),
        *([Wish(to=To.LATEST)] if to_latest else []),
        *([Wish(to=To.OFFSET, number=to_offset)] if to_offset is not None else []),
        *([Wish(to=To.TIME, time=to_time)] if to_time is not None else []),
        *([Wish(to=To.SHIFT, number=shift)] if shift is not None else []),
    ]
    if len(wishes) != 1:
        raise click.UsageError(
            "say where to, once: one of --to-earliest, --to-latest, --to-offset, --to-time, --shift"
        )
    return wishes[0]


def _place(text: str) -> tuple[str, list[int]]:
    found = _PLACE.fullmatch(text)
    if found is None or ":" in found["topic"]:
        raise click.UsageError(
            f"{text!r} is no topic, nor one with partitions: write millstream.results or millstream.results:0,3"
        )
    return found["topic"], [int(one) for one in (found["partitions"] or "").split(",") if one]


def _show_plan(planned: Plan) -> None:
    print_table(
        ("TOPIC", "PARTITION", "BEFORE", "AFTER", "NOTE"),
        [
            (
                one.topic,
                str(one.partition),
                "-" if one.before is None else str(one.before),
                "as it is" if one.after is None else str(one.after),
                one.note,
            )
            for one in planned.moves
        ],
    )
    for line in planned.warnings:
        warn(line)


def _with_now(planned: Plan, now: Mapping[Partition, int]) -> Plan:
    wrong = [one for one in planned.moves if one.changes and now.get(one.place) != one.after]
    if wrong:
        raise ResetRefused(
            f"{wrong[0].topic}/{wrong[0].partition} stands at {now.get(wrong[0].place)}, not at {wrong[0].after}: somebody has committed since",
            remedy="stop who reads in the group, then try again",
        )
    return planned


def _plan_json(planned: Plan, *, done: bool) -> dict[str, object]:
    return {
        "group": planned.group,
        "changed": done,
        "partitions": [
            {
                "topic": one.topic,
                "partition": one.partition,
                "before": one.before,
                "after": one.before if one.after is None else one.after,
                "note": one.note or None,
            }
            for one in planned.moves
        ],
        "warnings": planned.warnings,
    }


def _described(
    found: GroupDescription, offsets: Mapping[Partition, int], marks: Mapping[Partition, Watermarks]
) -> dict[str, object]:
    return {
        "group": found.group,
        "kind": kind_of(found.group).value,
        "state": found.state,
        "members": [
            {
                "id": one.member_id,
                "client": one.client_id,
                "host": one.host,
                "partitions": [f"{topic}/{number}" for topic, number in one.partitions],
            }
            for one in found.members
        ],
        "partitions": [
            {
                "topic": place[0],
                "partition": place[1],
                "committed": offset,
                "logStart": marks[place].start if place in marks else None,
                "logEnd": marks[place].end if place in marks else None,
            }
            for place, offset in sorted(offsets.items())
        ],
    }


def _watermarks(admin: KafkaAdmin, topics: set[str]) -> dict[Partition, Watermarks]:
    """Of those topics that are still there: a group may have outlived one."""
    found: dict[Partition, Watermarks] = {}
    for topic in sorted(topics):
        try:
            found |= {(topic, number): at for number, at in admin.watermarks(topic).items()}
        except TopicMissing:
            continue
    return found


def _behind(offsets: Mapping[Partition, int], marks: Mapping[Partition, Watermarks]) -> int:
    return sum(
        max(0, marks[place].end - max(at, marks[place].start))
        for place, at in offsets.items()
        if place in marks
    )


def _number(marks: Mapping[Partition, Watermarks], place: Partition, name: str) -> str:
    return str(getattr(marks[place], name)) if place in marks else "-"


commands: list[click.Command] = [groups]
