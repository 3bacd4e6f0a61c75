"""``millstream monitor``: be told when a new commit or diff matches a search."""

from datetime import datetime
from typing import Final

import click
import msgspec

from api.cli.client import Client, connect
from api.cli.output import print_json, print_table
from infra.settings import load_settings
from schemas.errors import MillstreamError

_ME: Final = "query Me { currentUser { id } }"
_LIST: Final = """
query Monitors($after: String) {
  currentUser { monitors(first: 50, after: $after) { nodes { ...Shown } pageInfo { endCursor hasNextPage } } }
}
"""
_SHOWN: Final = """
fragment Shown on Monitor {
  id description enabled createdAt nextRun
  trigger { ... on MonitorQuery { query } }
  actions { nodes {
    __typename
    ... on MonitorEmail { enabled includeResults recipients { nodes { namespaceName } } }
    ... on MonitorWebhook { enabled includeResults host signingSecret disabledReason }
    ... on MonitorSlackWebhook { enabled includeResults host disabledReason }
  } }
}
"""
_ONE: Final = (
    """
query Monitor($id: ID!, $first: Int, $only: Boolean) {
  node(id: $id) { ... on Monitor { ...Shown trigger { ... on MonitorQuery {
    events(first: $first, onlyResults: $only) { nodes {
      id status timestamp message resultCount commitCount cause outcome warnings repository { name }
    } }
  } } } }
}
"""
    + _SHOWN
)
_CREATE: Final = (
    """
mutation CreateMonitor($monitor: MonitorInput!, $trigger: MonitorTriggerInput!, $actions: [MonitorActionInput!]!) {
  createCodeMonitor(monitor: $monitor, trigger: $trigger, actions: $actions) { ...Shown }
}
"""
    + _SHOWN
)
_TOGGLE: Final = (
    "mutation Toggle($id: ID!, $enabled: Boolean!) { toggleCodeMonitor(id: $id, enabled: $enabled) { ...Shown } }\n"
    + _SHOWN
)
_RUN: Final = "mutation Run($id: ID!) { runCodeMonitor(id: $id) { ...Shown } }\n" + _SHOWN
_DELETE: Final = "mutation Delete($id: ID!) { deleteCodeMonitor(id: $id) { alwaysNil } }"


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class _Name(_Answer):
    namespace_name: str


class _Names(_Answer):
    nodes: list[_Name]


class _Action(_Answer):
    kind: str = msgspec.field(name="__typename")
    enabled: bool = True
    include_results: bool = False
    host: str = ""
    signing_secret: str | None = None
    disabled_reason: str | None = None
    recipients: _Names | None = None

    @property
    def words(self) -> str:
        if self.recipients is not None:
            return "mail to " + ", ".join(one.namespace_name for one in self.recipients.nodes)
        return f"{'slack' if self.kind == 'MonitorSlackWebhook' else 'webhook'} at {self.host}"


class _Actions(_Answer):
    nodes: list[_Action]


class _Named(_Answer):
    name: str


class _Run(_Answer):
    id: str
    status: str
    timestamp: datetime
    result_count: int
    commit_count: int
    message: str | None = None
    cause: str | None = None
    outcome: str | None = None
    warnings: list[str] = []
    repository: _Named | None = None


class _Runs(_Answer):
    nodes: list[_Run]


class _Trigger(_Answer):
    query: str
    events: _Runs | None = None


class Monitor(_Answer):
    """A monitor as commands show it."""

    id: str
    description: str
    enabled: bool
    created_at: datetime
    trigger: _Trigger
    actions: _Actions
    next_run: datetime | None = None

    def as_json(self) -> object:
        return msgspec.to_builtins(self)


class _Info(_Answer):
    end_cursor: str | None
    has_next_page: bool


class _Page(_Answer):
    nodes: list[Monitor]
    page_info: _Info


class _Mine(_Answer):
    monitors: _Page


class _Listed(_Answer):
    current_user: _Mine


class _Id(_Answer):
    id: str


class _Me(_Answer):
    current_user: _Id


class _Found(_Answer):
    node: Monitor | None


class _Created(_Answer):
    create_code_monitor: Monitor


class _Toggled(_Answer):
    toggle_code_monitor: Monitor


class _Asked(_Answer):
    run_code_monitor: Monitor


class _Deleted(_Answer):
    delete_code_monitor: dict[str, object]


class NoSuchMonitor(MillstreamError):
    """A monitor was named that is not there."""


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
        found = _all(client)
    if as_json:
        print_json([one.as_json() for one in found])
        return
    print_table(
        ("ID", "DESCRIPTION", "STATE", "QUERY", "ACTIONS"),
        [
            (
                one.id,
                one.description,
                "enabled" if one.enabled else "disabled",
                one.trigger.query,
                "; ".join(action.words for action in one.actions.nodes),
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
        me = client.ask(_ME, {}, _Me).current_user.id
        actions: list[dict[str, object]] = []
        if email:
            actions.append({"email": {**shared, "priority": "NORMAL", "header": "", "recipients": [me]}})
        actions += [{"webhook": {**shared, "url": url}} for url in webhooks]
        actions += [{"slackWebhook": {**shared, "url": url}} for url in slacks]
        if not actions:
            raise click.UsageError("say whom to tell: --email, --webhook or --slack")
        made = client.ask(
            _CREATE,
            {
                "monitor": {"namespace": me, "description": description, "enabled": not disabled},
                "trigger": {"query": query},
                "actions": actions,
            },
            _Created,
        ).create_code_monitor
    if as_json:
        print_json(made.as_json())
        return
    click.echo(f"created {made.id}")
    for action in made.actions.nodes:
        if action.signing_secret:
            click.echo(f"{action.words} is signed with {action.signing_secret}")


@monitor.command("show", epilog="Example: millstream monitor show ID --only-results")
@click.argument("identity", metavar="ID")
@click.option("--runs", default=20, show_default=True, help="Runs to show, the newest first.")
@click.option("--only-results", is_flag=True, help="Only runs that found something.")
@click.option("--json", "as_json", is_flag=True, help="The monitor and its runs as JSON.")
def show(identity: str, runs: int, only_results: bool, as_json: bool) -> None:
    """Show a monitor and its history."""
    with connect(load_settings()) as client:
        variables = {"id": identity, "first": runs, "only": only_results}
        found = client.ask(_ONE, variables, _Found).node
    if found is None:
        raise NoSuchMonitor(f"there is no monitor {identity}", remedy="millstream monitor list")
    if as_json:
        print_json(found.as_json())
        return
    click.echo(f"{found.description} ({'enabled' if found.enabled else 'disabled'})\n{found.trigger.query}")
    for action in found.actions.nodes:
        state = action.disabled_reason or ("" if action.enabled else "disabled")
        click.echo(f"  {action.words}{f' ({state})' if state else ''}")
    listed = [] if found.trigger.events is None else found.trigger.events.nodes
    print_table(
        ("TIME", "REPOSITORY", "STATUS", "CAUSE", "MATCHES", "MESSAGE"),
        [
            (
                f"{one.timestamp:%Y-%m-%d %H:%M:%S}",
                one.repository.name if one.repository else "",
                (one.outcome or one.status).lower(),
                one.cause or "",
                str(one.result_count),
                one.message or "; ".join(one.warnings),
            )
            for one in listed
        ],
        empty="No run yet: it looks at the next push.",
    )


@monitor.command("toggle", epilog="Example: millstream monitor toggle ID --disable")
@click.argument("identity", metavar="ID")
@click.option("--enable/--disable", "enabled", required=True, help="Enabled, it begins at the present.")
def toggle(identity: str, enabled: bool) -> None:
    """Enable or disable a monitor."""
    with connect(load_settings()) as client:
        found = client.ask(_TOGGLE, {"id": identity, "enabled": enabled}, _Toggled).toggle_code_monitor
    click.echo(f"{found.description} is {'enabled' if found.enabled else 'disabled'}")


@monitor.command("run", epilog="Example: millstream monitor run ID")
@click.argument("identity", metavar="ID")
def run(identity: str) -> None:
    """Let a monitor look now, wherever refs have moved since it began."""
    with connect(load_settings()) as client:
        client.ask(_RUN, {"id": identity}, _Asked)
    click.echo("it looks")


@monitor.command("delete", epilog="Example: millstream monitor delete ID")
@click.argument("identity", metavar="ID")
def delete(identity: str) -> None:
    """Delete a monitor."""
    with connect(load_settings()) as client:
        client.ask(_DELETE, {"id": identity}, _Deleted)
    click.echo("deleted")


def _all(client: Client) -> list[Monitor]:
    found: list[Monitor] = []
    after: str | None = None
    while True:
        answer = client.ask(_LIST + _SHOWN, {"after": after}, _Listed).current_user.monitors
        found += answer.nodes
        if not answer.page_info.has_next_page:
            return found
        after = answer.page_info.end_cursor


commands: list[click.Command] = [monitor]
