"""Events on ``millstream.monitors``, keyed by monitor.

No address, no capability URL and no secret stands in them: an action names where it sends by a reference into the vault,
and recipients by their user names.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from schemas.limits import (
    MAX_MESSAGE_BYTES,
    Code,
    Creator,
    FieldError,
    Message,
    Query,
    check_bytes,
    check_instant,
)
from schemas.registry import Audience, Instant, Part, Payload, SafeId, event
from schemas.topics import Topic

MAX_ACTIONS = 20
MAX_RECIPIENTS = 50
Description = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
_ON = (Topic.MONITORS,)


class ActionKind(StrEnum):
    """How somebody is told."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    SLACK_WEBHOOK = "slack_webhook"


class EmailPriority(StrEnum):
    """A critical mail says so in its subject."""

    NORMAL = "normal"
    CRITICAL = "critical"


class SecretPlace(Part, frozen=True, kw_only=True):
    """A secret in the vault: where it is, and what tells it from another. ``host`` is that of a URL."""

    ref: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    fingerprint: Annotated[str, msgspec.Meta(max_length=128)]
    host: Annotated[str, msgspec.Meta(max_length=255)] = ""


class MonitorAction(Part, frozen=True, kw_only=True):
    """One action. An e-mail has recipients (user names), a webhook a ``url``; ``signing`` is the key of its signatures."""

    action_id: SafeId
    kind: ActionKind
    enabled: bool = True
    include_results: bool = False
    priority: EmailPriority = EmailPriority.NORMAL
    header: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    recipients: Annotated[list[Creator], msgspec.Meta(max_length=MAX_RECIPIENTS)] = []
    url: SecretPlace | None = None
    signing: SecretPlace | None = None

    def __post_init__(self) -> None:
        if (self.kind is ActionKind.EMAIL) != bool(self.recipients):
            raise FieldError("recipients", "an e-mail has at least one recipient, other actions have none")
        if (self.kind is ActionKind.EMAIL) != (self.url is None):
            raise FieldError("url", "a webhook has one, an e-mail has none")
        if any("@" in one or not one for one in self.recipients):
            raise FieldError("recipients", "are names of users: an address never stands in an event")


Actions = Annotated[list[MonitorAction], msgspec.Meta(min_length=1, max_length=MAX_ACTIONS)]


def _check_actions(actions: list[MonitorAction]) -> None:
    if len({one.action_id for one in actions}) != len(actions):
        raise FieldError("actions", "two of them have one id")


@event(
    "millstream.monitor.created",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class MonitorCreated(Payload, frozen=True, kw_only=True):
    """Somebody asked to be told of new commits or diffs that match a query. It begins at the present."""

    monitor_id: SafeId
    description: Description
    owner: Creator
    created_at: Instant
    query: Annotated[Query, msgspec.Meta(min_length=1)]
    actions: Actions
    enabled: bool = True

    def __post_init__(self) -> None:
        check_instant("created_at", self.created_at)
        _check_actions(self.actions)


@event(
    "millstream.monitor.updated",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class MonitorUpdated(Payload, frozen=True, kw_only=True):
    """A monitor was edited: ``actions`` are all that it has from now on.

    A ``query`` or ``enabled: true`` makes it begin at the present again; null leaves both as they were, and the positions too.
    ``kept_query`` and ``kept_enabled`` are what the editor gave where it was so already: they tell one wish from another, and
    change nothing.
    """

    monitor_id: SafeId
    description: Description
    actions: Actions
    query: Annotated[Query, msgspec.Meta(min_length=1)] | None = None
    enabled: bool | None = None
    kept_query: Query = ""
    kept_enabled: bool | None = None
    changed_by: Creator = ""

    def __post_init__(self) -> None:
        _check_actions(self.actions)


@event(
    "millstream.monitor.toggled",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class MonitorToggled(Payload, frozen=True, kw_only=True):
    """A monitor was enabled, and begins at the present, or disabled."""

    monitor_id: SafeId
    enabled: bool
    changed_by: Creator = ""


@event(
    "millstream.monitor.deleted",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class MonitorDeleted(Payload, frozen=True, kw_only=True):
    """A monitor is gone, and so is what it would have sent."""

    monitor_id: SafeId
    deleted_by: Creator = ""


@event(
    "millstream.monitor.run_requested",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class MonitorRunRequested(Payload, frozen=True, kw_only=True):
    """Somebody asked that a monitor look now, wherever refs have moved since it began."""

    monitor_id: SafeId
    requested_by: Creator = ""


@event(
    "millstream.monitor.action_disabled",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.INTERNAL,
    guarded=True,
)
class MonitorActionDisabled(Payload, frozen=True, kw_only=True):
    """The receiver wants no more (HTTP 410): the action sends nothing until somebody edits the monitor.

    ``defined_offset`` is that of the event by whose definition was sent: what was edited since then is not meant.
    """

    monitor_id: SafeId
    action_id: SafeId
    reason: Code
    message: Message = ""
    defined_offset: SafeId | None = None

    def __post_init__(self) -> None:
        check_bytes("message", self.message, MAX_MESSAGE_BYTES)
