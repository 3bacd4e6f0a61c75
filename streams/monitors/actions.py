"""From an event of a monitor to what has to be sent for it, and again when an attempt was refused. Pure."""

from collections.abc import Iterator
from datetime import datetime

from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import ActionRequested, Delivery
from schemas.ids import derived_event_id
from schemas.triggers.ids import delivery_id
from streams.agent import Outgoing
from streams.monitors.firing import SOURCE


def requests(
    monitor_id: int,
    repository_id: int,
    job_id: int,
    deliveries: list[Delivery] | tuple[Delivery, ...],
    since: datetime,
    *,
    now: datetime,
    cause: Event | None,
) -> Iterator[Outgoing]:
    """One request per delivery, always with the same ids."""
    for one in deliveries:
        identity = delivery_id(monitor_id, job_id, one.action_id, one.recipient)
        yield requested(
            ActionRequested(
                monitor_id=monitor_id,
                job_id=job_id,
                action_id=one.action_id,
                recipient=one.recipient,
                repository_id=repository_id,
                delivery_id=identity,
                since=since,
            ),
            now=now,
            cause=cause,
        )


def requested(request: ActionRequested, *, now: datetime, cause: Event | None) -> Outgoing:
    """The event of one attempt."""
    return Outgoing(
        new_event(
            request,
            source=SOURCE,
            time=now,
            event_id=derived_event_id("action.requested", request.delivery_id, request.attempt),
            cause=cause,
        )
    )
