"""``millstream monitor``: be told when a new commit or diff matches a search."""

import click

from api.cli import monitor_questions as questions
from api.cli.client import connect
from api.cli.output import print_json, print_table, warn
from infra.settings import load_settings


@click.group(
    epilog="Example: millstream monitor create --description Keys --query 'type:diff BEGIN PRIVATE KEY' --email"
)
def monitor() -> None:
    """Be told when a new commit or diff matches a search."""


@monitor.command("list", epilog="Example: millstream monitor list --json")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per monitor.")
def list_(as_json: bool) -> None:
    """Show your monitors."""
    with connect(load_settings()) as client:
        found = questions.listed(client)
    if as_json:
        print_json([one.as_json() for one in found])
        return
    print_table(
        ("NUMBER", "DESCRIPTION", "STATE", "QUERY", "ACTIONS", "LAST FOUND, TOLD"),
        [
            (
                one.number,
                one.description,
                "enabled" if one.enabled else "disabled",
                one.trigger.query,
                "; ".join(
                    f"{action.words}{' (cannot be sent)' if action.cannot_send else ''}"
                    for action in one.actions.nodes
                ),
                one.last_event.in_short if one.last_event is not None else "",
            )
            for one in found
        ],
        empty="There is no monitor yet: millstream monitor create --description D --query 'type:diff ...' --email",
    )


@monitor.command("create", epilog="Example: millstream monitor create --description TODOs --query 'type:diff TODO' --webhook https://example.com/hook")  # fmt: skip
@click.option("--description", required=True, help="What it is for.")
@click.option("--query", required=True, help="A search with type:diff or type:commit.")
@click.option("--email", is_flag=True, help="Send yourself a mail.")
@click.option("--webhook", "webhooks", multiple=True, metavar="URL", help="Call this URL, signed.")
@click.option(
    "--slack", "slacks", multiple=True, metavar="URL", help="Post to this incoming webhook of Slack."
)
@click.option("--include-results/--no-include-results", default=True, help="Whether contents are told.")
@click.option("--disabled", is_flag=True, help="Create it without letting it look.")
@click.option("--json", "as_json", is_flag=True, help="The monitor as JSON.")
def create(
    description: str,
    query: str,
    email: bool,
    webhooks: tuple[str, ...],
    slacks: tuple[str, ...],
    include_results: bool,
    disabled: bool,
    as_json: bool,
) -> None:
    """Create a monitor. It begins at the present."""
    shared = {"enabled": True, "includeResults": include_results}
    with connect(load_settings()) as client:
        me = client.ask(questions.ME, {}, questions.Me).current_user.id
        actions: list[dict[str, object]] = []
        if email:
            actions.append({"email": {**shared, "priority": "NORMAL", "header": "", "recipients": [me]}})
        actions += [{"webhook": {**shared, "url": url}} for url in webhooks]
        actions += [{"slackWebhook": {**shared, "url": url}} for url in slacks]
        if not actions:
            raise click.UsageError("say whom to tell: --email, --webhook or --slack")
        made = client.ask(
            questions.CREATE,
            {
                "monitor": {"namespace": me, "description": description, "enabled": not disabled},
                "trigger": {"query": query},
                "actions": actions,
            },
            questions.Created,
        ).create_code_monitor
    for action in made.actions.nodes:
        if action.cannot_send:
            warn(f"{action.words}: {action.cannot_send}")
    if as_json:
        print_json(made.as_json())
        return
    click.echo(f"created {made.id}")
    for action in made.actions.nodes:
        if action.signing_secret:
            click.echo(f"{action.words} is signed with {action.signing_secret}")


@monitor.command("show", epilog="Example: millstream monitor show 'Keys in code' --only-results")
@click.argument("monitor_id", metavar="DESCRIPTION|NUMBER|ID")
@click.option("--runs", default=20, show_default=True, help="Runs to show, the newest first.")
@click.option("--only-results", is_flag=True, help="Only runs that found something.")
@click.option("--json", "as_json", is_flag=True, help="The monitor and its runs as JSON.")
def show(monitor_id: str, runs: int, only_results: bool, as_json: bool) -> None:
    """Show a monitor and its history: each run, how it ended, and what was sent for it."""
    with connect(load_settings()) as client:
        variables = {"id": questions.resolve(client, monitor_id), "first": runs, "only": only_results}
        found = client.ask(questions.ONE, variables, questions.Found).node
    if found is None:
        raise questions.unknown(monitor_id)
    if as_json:
        print_json(found.as_json())
        return
    click.echo(f"{found.description} ({'enabled' if found.enabled else 'disabled'})\n{found.trigger.query}")
    for action in found.actions.nodes:
        state = action.disabled_reason or action.cannot_send or ("" if action.enabled else "disabled")
        click.echo(f"  {action.words}{f' ({state})' if state else ''}")
    listed = [] if found.trigger.events is None else found.trigger.events.nodes
    print_table(
        ("TIME", "REPOSITORY", "STATUS", "CAUSE", "MATCHES", "TOLD", "MESSAGE"),
        [
            (
                f"{one.timestamp:%Y-%m-%d %H:%M:%S}",
                one.repository.name if one.repository else "",
                (one.outcome or one.status).lower(),
                one.cause or "",
                str(one.result_count),
                one.told,
                one.message or "; ".join(one.warnings),
            )
            for one in listed
        ],
        empty="No run yet: it looks at the next push.",
    )


@monitor.command("toggle", epilog="Example: millstream monitor toggle 'Keys in code' --disable")
@click.argument("monitor_id", metavar="DESCRIPTION|NUMBER|ID")
@click.option("--enable/--disable", "enabled", required=True, help="Enabled, it begins at the present.")
def toggle(monitor_id: str, enabled: bool) -> None:
    """Enable or disable a monitor."""
    with connect(load_settings()) as client:
        found = client.ask(
            questions.TOGGLE,
            {"id": questions.resolve(client, monitor_id), "enabled": enabled},
            questions.Toggled,
        ).toggle_code_monitor
    click.echo(f"{found.description} is {'enabled' if found.enabled else 'disabled'}")


@monitor.command("run", epilog="Example: millstream monitor run 'Keys in code'")
@click.argument("monitor_id", metavar="DESCRIPTION|NUMBER|ID")
def run(monitor_id: str) -> None:
    """Let a monitor look now, wherever refs have moved since it began."""
    with connect(load_settings()) as client:
        client.ask(questions.RUN, {"id": questions.resolve(client, monitor_id)}, questions.Asked)
    click.echo("it looks")


@monitor.command("delete", epilog="Example: millstream monitor delete 'Keys in code'")
@click.argument("monitor_id", metavar="DESCRIPTION|NUMBER|ID")
def delete(monitor_id: str) -> None:
    """Delete a monitor."""
    with connect(load_settings()) as client:
        client.ask(questions.DELETE, {"id": questions.resolve(client, monitor_id)}, questions.Deleted)
    click.echo("deleted")


commands: list[click.Command] = [monitor]
