"""What the demo asks about code monitors, and the shapes of the answers."""

from typing import Final

import msgspec


class _Answer(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of answers: field names in GraphQL are camelCase."""


_SHOWN: Final = """
fragment Shown on Monitor {
  id description
  trigger { ... on MonitorQuery { query } }
  actions { nodes { ... on MonitorWebhook { id signingSecret } } }
}
"""
MINE: Final = (
    """
query DemoMonitors($after: String) {
  currentUser { id monitors(first: 50, after: $after) { nodes { ...Shown } pageInfo { endCursor hasNextPage } } }
}
"""
    + _SHOWN
)


class _Action(_Answer):
    id: str | None = None
    signing_secret: str | None = None


class _Actions(_Answer):
    nodes: list[_Action]


class _Trigger(_Answer):
    query: str


class MonitorAnswer(_Answer):
    """A code monitor."""

    id: str
    description: str
    trigger: _Trigger
    actions: _Actions

    @property
    def webhook(self) -> _Action:
        """Its first webhook; one without an id where it has none."""
        return next((one for one in self.actions.nodes if one.id is not None), _Action())


class _PageInfo(_Answer):
    end_cursor: str | None
    has_next_page: bool


class _Page(_Answer):
    nodes: list[MonitorAnswer]
    page_info: _PageInfo


class _User(_Answer):
    id: str
    monitors: _Page


class MineAnswer(_Answer):
    """Answer to MINE."""

    current_user: _User


CREATE: Final = (
    """
mutation DemoCreateMonitor($monitor: MonitorInput!, $trigger: MonitorTriggerInput!, $actions: [MonitorActionInput!]!) {
  written: createCodeMonitor(monitor: $monitor, trigger: $trigger, actions: $actions) { ...Shown }
}
"""
    + _SHOWN
)
UPDATE: Final = (
    """
mutation DemoUpdateMonitor($monitor: MonitorEditInput!, $trigger: MonitorEditTriggerInput!, $actions: [MonitorEditActionInput!]!) {
  written: updateCodeMonitor(monitor: $monitor, trigger: $trigger, actions: $actions) { ...Shown }
}
"""
    + _SHOWN
)
TOGGLE: Final = (
    """
mutation DemoToggleMonitor($id: ID!, $enabled: Boolean!) {
  written: toggleCodeMonitor(id: $id, enabled: $enabled) { ...Shown }
}
"""
    + _SHOWN
)


class WrittenAnswer(_Answer):
    """Answer to CREATE, UPDATE and TOGGLE."""

    written: MonitorAnswer


DELIVERIES: Final = """
query DemoDeliveries($id: ID!) {
  node(id: $id) { ... on Monitor { trigger { ... on MonitorQuery { events(first: 5, onlyResults: true) { nodes {
    commitCount resultCount
    actions { nodes { ... on MonitorWebhook { events { nodes { deliveryID status } } } } }
  } } } } } }
}
"""


class _Delivery(_Answer):
    delivery_id: str | None = msgspec.field(name="deliveryID")
    status: str


class _Deliveries(_Answer):
    nodes: list[_Delivery]


class _ActionOfRun(_Answer):
    events: _Deliveries | None = None


class _ActionsOfRun(_Answer):
    nodes: list[_ActionOfRun]


class RunAnswer(_Answer):
    """A run that found something, and what was sent for it."""

    commit_count: int
    result_count: int
    actions: _ActionsOfRun

    @property
    def succeeded(self) -> set[str]:
        """Ids of the deliveries that were taken, as the history knows."""
        return {
            str(one.delivery_id)
            for action in self.actions.nodes
            if action.events is not None
            for one in action.events.nodes
            if one.status == "SUCCESS"
        }


class _Runs(_Answer):
    nodes: list[RunAnswer]


class _TriggerOfRuns(_Answer):
    events: _Runs


class _MonitorOfRuns(_Answer):
    trigger: _TriggerOfRuns


class DeliveriesAnswer(_Answer):
    """Answer to DELIVERIES."""

    node: _MonitorOfRuns | None

    @property
    def runs(self) -> list[RunAnswer]:
        return [] if self.node is None else self.node.trigger.events.nodes
