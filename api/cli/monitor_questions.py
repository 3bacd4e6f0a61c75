"""What commands ask about monitors, and the answers as typed values."""

from datetime import datetime
from typing import Final

import msgspec

from api.cli.client import Client
from schemas.errors import MillstreamError

ME: Final = "query Me { currentUser { id } }"
SHOWN: Final = """
fragment Shown on Monitor {
  id description enabled createdAt nextRun
  trigger { ... on MonitorQuery { query } }
  actions { nodes {
    __typename
    ... on MonitorEmail { enabled includeResults cannotSend recipients { nodes { namespaceName } } }
    ... on MonitorWebhook { enabled includeResults host signingSecret disabledReason cannotSend }
    ... on MonitorSlackWebhook { enabled includeResults host disabledReason cannotSend }
  } }
}
"""
_RUNS: Final = """
fragment Ran on MonitorTriggerEvent {
  id status timestamp message resultCount commitCount cause outcome warnings repository { name }
  actions { nodes {
    __typename
    ... on MonitorEmail { events { nodes { ...Told recipient } } }
    ... on MonitorWebhook { host events { nodes { ...Told } } }
    ... on MonitorSlackWebhook { host events { nodes { ...Told } } }
  } }
}
fragment Told on MonitorActionEvent { status message timestamp deliveryID attempts nextAttempt }
"""
LIST: Final = (
    """
query Monitors($after: String) {
  currentUser { monitors(first: 50, after: $after) {
    nodes { ...Shown trigger { ... on MonitorQuery { events(first: 1, onlyResults: true) { nodes { ...Ran } } } } }
    pageInfo { endCursor hasNextPage }
  } }
}
"""
    + SHOWN
    + _RUNS
)
ONE: Final = (
    """
query Monitor($id: ID!, $first: Int, $only: Boolean) {
  node(id: $id) { ... on Monitor { ...Shown trigger { ... on MonitorQuery {
    events(first: $first, onlyResults: $only) { nodes { ...Ran } }
  } } } }
}
"""
    + SHOWN
    + _RUNS
)
CREATE: Final = (
    """
mutation CreateMonitor($monitor: MonitorInput!, $trigger: MonitorTriggerInput!, $actions: [MonitorActionInput!]!) {
  createCodeMonitor(monitor: $monitor, trigger: $trigger, actions: $actions) { ...Shown }
}
"""
    + SHOWN
)
TOGGLE: Final = (
    "mutation Toggle($id: ID!, $enabled: Boolean!) { toggleCodeMonitor(id: $id, enabled: $enabled) { ...Shown } }\n"
    + SHOWN
)
RUN: Final = "mutation Run($id: ID!) { runCodeMonitor(id: $id) { ...Shown } }\n" + SHOWN
DELETE: Final = "mutation Delete($id: ID!) { deleteCodeMonitor(id: $id) { alwaysNil } }"


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class _Name(_Answer):
    namespace_name: str


class _Names(_Answer):
    nodes: list[_Name]


class Delivery(_Answer):
    """What was sent to one receiver, or is to be."""

    status: str
    timestamp: datetime
    message: str | None = None
    delivery_id: str | None = msgspec.field(name="deliveryID", default=None)
    attempts: int = 0
    next_attempt: datetime | None = None
    recipient: str | None = None

    @property
    def words(self) -> str:
        """How it stands."""
        why = f": {self.message}" if self.message else ""
        if self.status == "SUCCESS":
            return "sent"
        if self.status == "ERROR":
            return f"failed{why}"
        if self.next_attempt is not None:
            return f"tried again at {self.next_attempt:%H:%M:%S}{why}"
        return "waits"


class _Deliveries(_Answer):
    nodes: list[Delivery]


class RunAction(_Answer):
    """What one action told of one run."""

    kind: str = msgspec.field(name="__typename")
    events: _Deliveries
    host: str = ""

    @property
    def words(self) -> str:
        """To whom, and how it stands."""
        to = {"MonitorEmail": "mail", "MonitorWebhook": "webhook"}.get(self.kind, "slack")
        return ", ".join(
            f"{to}{f' to {one.recipient}' if one.recipient else ''} {one.words}" for one in self.events.nodes
        )


class _RunActions(_Answer):
    nodes: list[RunAction] = []


class Action(_Answer):
    """One action as commands show it."""

    kind: str = msgspec.field(name="__typename")
    enabled: bool = True
    include_results: bool = False
    host: str = ""
    signing_secret: str | None = None
    disabled_reason: str | None = None
    cannot_send: str | None = None
    recipients: _Names | None = None

    @property
    def words(self) -> str:
        if self.recipients is not None:
            return "mail to " + ", ".join(one.namespace_name for one in self.recipients.nodes)
        return f"{'slack' if self.kind == 'MonitorSlackWebhook' else 'webhook'} at {self.host}"


class _Actions(_Answer):
    nodes: list[Action]


class _Named(_Answer):
    name: str


class Run(_Answer):
    """A look at one repository."""

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
    actions: _RunActions = msgspec.field(default_factory=_RunActions)

    @property
    def in_short(self) -> str:
        """When it found something, and whether that was told."""
        states = {one.status for action in self.actions.nodes for one in action.events.nodes}
        how = "failed" if "ERROR" in states else "waits" if "PENDING" in states else "sent" if states else ""
        return f"{self.timestamp:%Y-%m-%d %H:%M}{f', {how}' if how else ''}"

    @property
    def told(self) -> str:
        """What was sent for it; nothing where nobody was to be told."""
        return "; ".join(one.words for one in self.actions.nodes)


class _Runs(_Answer):
    nodes: list[Run]


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

    @property
    def last_event(self) -> Run | None:
        """The newest run that found something, of a list."""
        runs = [] if self.trigger.events is None else self.trigger.events.nodes
        return runs[0] if runs else None

    @property
    def number(self) -> str:
        """Its number: shorter than the id, and as good."""
        from api.graphql.ids import parse_node_id

        return parse_node_id(self.id)[1]

    def as_json(self) -> dict[str, object]:
        """As --json prints it."""
        given: dict[str, object] = msgspec.to_builtins(self)
        return {"number": self.number, **given}


class _Info(_Answer):
    end_cursor: str | None
    has_next_page: bool


class _Page(_Answer):
    nodes: list[Monitor]
    page_info: _Info


class _Mine(_Answer):
    monitors: _Page


class Listed(_Answer):
    """An answer."""

    current_user: _Mine


class _Id(_Answer):
    id: str


class Me(_Answer):
    """An answer."""

    current_user: _Id


class Found(_Answer):
    """An answer."""

    node: Monitor | None


class Created(_Answer):
    """An answer."""

    create_code_monitor: Monitor


class Toggled(_Answer):
    """An answer."""

    toggle_code_monitor: Monitor


class Asked(_Answer):
    """An answer."""

    run_code_monitor: Monitor


class Deleted(_Answer):
    """An answer."""

    delete_code_monitor: dict[str, object]


class NoSuchMonitor(MillstreamError):
    """A monitor was named that is not there."""


def resolve(client: Client, text: str) -> str:
    """The GraphQL id behind an id, a number or a description that is unique. Raises NoSuchMonitor."""
    from api.commands.errors import InputRefused
    from api.graphql.ids import MONITOR, node_id, parse_node_id

    if text.isascii() and text.isdigit():
        return node_id(MONITOR, int(text))
    try:
        if parse_node_id(text)[0] == MONITOR:
            return text
    except InputRefused:
        pass
    found = [one for one in listed(client) if one.description == text]
    if len(found) == 1:
        return found[0].id
    if found:
        numbers = ", ".join(one.number for one in found)
        raise NoSuchMonitor(
            f"{len(found)} monitors are called {text!r}", remedy=f"Name one by its number: {numbers}."
        )
    raise unknown(text)


def unknown(text: str) -> NoSuchMonitor:
    """The error for a monitor that is not there."""
    return NoSuchMonitor(f"there is no monitor {text!r}", remedy="millstream monitor list")


def listed(client: Client) -> list[Monitor]:
    """Whoever asks: all monitors of theirs, the newest first."""
    found: list[Monitor] = []
    after: str | None = None
    while True:
        answer = client.ask(LIST, {"after": after}, Listed).current_user.monitors
        found += answer.nodes
        if not answer.page_info.has_next_page:
            return found
        after = answer.page_info.end_cursor
