"""``millstream config`` and ``topics``: what this installation is told to be, and what its log has to be."""

from collections.abc import Sequence
from typing import Any, Final

import click

from api.cli.output import print_json, print_table, typed, warn
from api.cli.times import Moment
from api.retention import Rehearsal, delete
from api.retention import rehearse as rehearsed
from infra.installation import decided_topics, kept_topics, set_up_database
from infra.kafka.admin import KafkaAdmin, TopicDescription
from infra.kafka.errors import KafkaError
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import PREFIX, Settings, load_settings
from infra.soundness import Finding, Gravity, findings
from infra.topics import FOR_EVER_MS, TopicChange, TopicSpec, apply, verify

_DIFFERENT: Final = 1
_HOUR_MS: Final = 60 * 60 * 1000


@click.command(epilog="Example: millstream config --json | jq .kafka_bootstrap.value")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object: {name: {value, source, variable, description}}."
)
@click.option("--explain", is_flag=True, help="Say what each setting is for.")
def config(as_json: bool, explain: bool) -> None:
    """Show every setting, where its value comes from, and secrets masked.

    Sources: env (MILLSTREAM_<NAME>), file (millstream.toml, or the one that MILLSTREAM_CONFIG names), stack (the embedded
    servers that run in this home), default.
    """
    settings = load_settings()
    values, sources = settings.masked(), settings.sources
    if as_json:
        print_json(
            {
                name: {
                    "value": value,
                    "source": sources[name].value,
                    "variable": PREFIX + name.upper(),
                    "description": Settings.model_fields[name].description,
                }
                for name, value in values.items()
            }
        )
        return
    rows = [
        (
            name,
            _plain(value),
            sources[name].value,
            *((Settings.model_fields[name].description or "",) if explain else ()),
        )
        for name, value in values.items()
    ]
    print_table(("NAME", "VALUE", "SOURCE", *(("WHAT FOR",) if explain else ())), rows)


@click.group(epilog="Example: millstream topics list && millstream topics apply")
def topics() -> None:
    """The topics of the log: list, create and repair, verify."""


@topics.command("list", epilog="Example: millstream topics list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def list_(as_json: bool) -> None:
    """Every topic: key, partitions, retention, records on it now, and what it holds."""
    settings = load_settings()
    with KafkaAdmin(settings) as admin:
        specs = kept_topics(settings, admin)
        there = admin.describe([spec.name for spec in specs])
        shown = [_topic(spec, there.get(spec.name), admin) for spec in specs]
    if as_json:
        print_json(shown)
        return
    print_table(
        ("TOPIC", "KEY", "PARTITIONS", "KEPT FOR", "RECORDS", "HOLDS"),
        [
            (
                str(topic["name"]),
                str(topic["key"]),
                str(topic["partitions"]),
                _duration(topic["retention_ms"]),
                "missing" if topic["records"] is None else f"{topic['records']:,}",
                str(topic["holds"]),
            )
            for topic in shown
        ],
    )


@topics.command("apply", epilog="Example: millstream topics apply")
@click.option("--json", "as_json", is_flag=True, help="One JSON list of what was changed.")
def apply_(as_json: bool) -> None:
    """Create missing topics and repair their settings; a second call changes nothing.

    Sets up roles and schemas of the database too, where they are missing: the partition count is kept there. A topic with
    another partition count is refused, since its keys would move.
    """
    settings = load_settings()
    set_up_database(settings)
    with KafkaAdmin(settings) as admin:
        changes = apply(admin, decided_topics(settings, admin), settings.kafka_replication_factor)
    _print_changes(changes, as_json)


@topics.command("verify", epilog="Example: millstream topics verify || millstream topics apply")
@click.option("--json", "as_json", is_flag=True, help="One JSON list of differences.")
@click.pass_context
def verify_(ctx: click.Context, as_json: bool) -> None:
    """Compare the topics with the list and change nothing. Exit code 1 when they differ."""
    settings = load_settings()
    with KafkaAdmin(settings) as admin:
        changes = verify(admin, kept_topics(settings, admin))
    _print_changes(changes, as_json, before="IS", after="HAS TO BE")
    if changes:
        ctx.exit(_DIFFERENT)


@topics.command("check", epilog="Example: millstream topics check --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON list of findings.")
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Look for whatever could lose events or their order: expiry, compaction, copies, clocks, offsets of groups.

    What is refused here stops every process at its start. Exit code 1 when something is refused or warned of.
    """
    settings = load_settings()
    with KafkaAdmin(settings) as admin:
        specs = kept_topics(settings, admin)
        there = admin.describe([spec.name for spec in specs])
        try:
            brokers = admin.broker_settings()
        except KafkaError as error:
            warn(f"the brokers' own settings were not looked at: {error}")
            brokers = {}
        found = findings(specs, there, brokers, {name: admin.watermarks(name) for name in there})
    if as_json:
        print_json([_finding(one) for one in found])
    else:
        for one in found:
            click.echo(f"{one.gravity.value}: {one.words}")
            if one.remedy:
                click.echo(f"  what to do: {one.remedy}")
        if not any(one.gravity is not Gravity.NOTE for one in found):
            truth = sum(spec.is_truth for spec in specs)
            click.echo(
                f"Nothing can be lost: {truth} topics of truth are kept for ever, {len(specs) - truth} expire as they have to."
            )
    if any(one.gravity is not Gravity.NOTE for one in found):
        ctx.exit(_DIFFERENT)


@topics.command(
    "delete-records",
    epilog="Example: millstream topics delete-records millstream.work.background --before 2026-11-22T08:00:00Z --rehearse",
)
@click.argument("topic")
@click.option(
    "--before",
    required=True,
    metavar="TIME|OFFSET",
    help="What was appended before this time, or lies below this offset.",
)
@click.option("--partition", type=click.IntRange(min=0), help="Of this partition alone.")
@click.option("--rehearse", is_flag=True, help="Show what would go, and do nothing.")
@click.option(
    "--confirm", metavar="TOPIC", help="The topic's name once more; without it the name is asked for."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def delete_records(
    ctx: click.Context,
    topic: str,
    before: str,
    partition: int | None,
    rehearse: bool,
    confirm: str | None,
    as_json: bool,
) -> None:
    """Delete the head of a topic that expires anyway. Topics of truth are refused, whatever is said.

    Nothing is deleted that a projection or a group has still to read. With --rehearse: exit code 1 when somebody has.
    """
    limit = int(before) if before.isdigit() else Moment().convert(before, None, ctx)
    settings = load_settings()
    database = make_engine(settings, Role.WORKER, pool_size=1, name="cli")
    try:
        with KafkaAdmin(settings) as admin, database.connect() as connection:
            found = rehearsed(admin, connection, kept_topics(settings, admin), topic, limit, partition)
            if not as_json:
                _show_cuts(found)
            if not rehearse and found.records:
                typed(topic, confirm, "delete these records", "nothing was deleted")
                delete(admin, found)
    finally:
        database.dispose()
    behind = any(cut.behind for cut in found.cuts)
    if as_json:
        print_json(_cuts(found, deleted=not rehearse and found.records > 0))
    elif rehearse:
        click.echo("Nothing was deleted: this was a rehearsal." + (" It would be refused." if behind else ""))
    else:
        click.echo(
            f"Records deleted: {found.records:,}."
            if found.records
            else "Nothing lies before that: nothing was deleted."
        )
    if rehearse and behind:
        ctx.exit(_DIFFERENT)


def _finding(one: Finding) -> dict[str, object]:
    return {
        "gravity": one.gravity.value,
        "topic": one.topic or None,
        "name": one.name,
        "value": one.value,
        "wanted": one.wanted,
        "words": one.words,
        "remedy": one.remedy or None,
    }


def _show_cuts(found: Rehearsal) -> None:
    print_table(
        ("PARTITION", "BEGINS AT", "WOULD BEGIN AT", "ENDS AT", "RECORDS", "NOT PASSED BY"),
        [
            (
                str(cut.partition),
                str(cut.start),
                str(cut.to),
                str(cut.end),
                f"{cut.records:,}",
                ", ".join(f"{one.name} (at {one.next_offset})" for one in cut.behind) or "-",
            )
            for cut in found.cuts
        ],
    )


def _cuts(found: Rehearsal, *, deleted: bool) -> dict[str, object]:
    return {
        "topic": found.topic,
        "deleted": deleted,
        "records": found.records,
        "partitions": [
            {
                "partition": cut.partition,
                "start": cut.start,
                "to": cut.to,
                "end": cut.end,
                "notPassedBy": [{"name": one.name, "nextOffset": one.next_offset} for one in cut.behind],
            }
            for cut in found.cuts
        ],
    }


def _topic(spec: TopicSpec, there: TopicDescription | None, admin: KafkaAdmin) -> dict[str, Any]:
    marks = admin.watermarks(spec.name) if there is not None else None
    return {
        "name": str(spec.name),
        "key": spec.key,
        "partitions": spec.partitions if there is None else there.partitions,
        "retention_ms": spec.retention_ms,
        "guarded": spec.guarded,
        "records": None if marks is None else sum(mark.end - mark.start for mark in marks.values()),
        "holds": spec.holds,
    }


def _print_changes(
    changes: Sequence[TopicChange], as_json: bool, *, before: str = "BEFORE", after: str = "AFTER"
) -> None:
    if as_json:
        print_json(
            [
                {
                    "topic": str(change.topic),
                    "name": change.name,
                    "before": change.before or None,
                    "after": change.after,
                }
                for change in changes
            ]
        )
    elif changes:
        rows = [
            (str(change.topic), change.name, change.before or "absent", change.after) for change in changes
        ]
        print_table(("TOPIC", "WHAT", before, after), rows)
    else:
        click.echo("Every topic is as it has to be.")


def _duration(retention_ms: int) -> str:
    return "ever" if retention_ms == FOR_EVER_MS else f"{retention_ms // _HOUR_MS} h"


def _plain(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)


commands: list[click.Command] = [config, topics]
