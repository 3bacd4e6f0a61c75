"""Mutations: one event each, published once however often it is asked for, answered when it is judged and can be read.

With an ``Idempotency-Key`` the event's (source, id) follows from caller, type and key. So a repeat is recognised by the
guards for ever, and here, by the index of events and by the event itself as it stands on the log, where it asks for something else.
"""

from typing import Final

import msgspec

from api.commands.errors import ApiError, Code, InputRefused
from api.commands.repeats import same_wish
from api.event_status import INDEX
from api.graphql.operation import Operation
from api.graphql.types.info import Info, operation_of
from api.judging import wait_judged
from projections.event_index.queries import positions_of
from projections.generations import NotProjected
from projections.judged import DUPLICATE, PENDING, REJECTED, Verdict, accepted_before
from schemas.codec import new_event
from schemas.envelope import Event, Position
from schemas.events import REGISTRY
from schemas.ids import derived_event_id
from schemas.judgement import ReasonCode
from schemas.registry import Payload

SOURCE: Final = "//millstream/api"
KEY_FIELD: Final = "Idempotency-Key"
_REFUSED: Final[dict[str, str]] = {
    ReasonCode.EXISTS: "Choose another name, or use what is there already.",
    ReasonCode.DELETED: "Choose another name: what has ended stays ended.",
    ReasonCode.REMOVED: "Add it again first.",
    ReasonCode.UNKNOWN: "Create it first.",
}


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """``position`` is where the accepted event lies: of a repeat, the earlier one."""

    event: Event
    position: Position
    verdict: Verdict


def key_of(info: Info) -> str | None:
    """The key of this field: the request's, or, where the request has several fields, the request's and the field's name."""
    key = operation_of(info).idempotency_key
    if key is None or len(info.operation.selection_set.selections) == 1:
        return key
    return f"{key}/{info.path.key}"


def event_of(info: Info, payload: Payload, *, part: int | str | None = None) -> Event:
    """The event that says ``payload``, for the one who asks; ``part`` tells several of one type within one mutation apart."""
    operation, key = operation_of(info), key_of(info)
    name = REGISTRY.of(payload).name
    return new_event(
        payload,
        source=SOURCE,
        time=operation.now,
        event_id=None
        if key is None
        else derived_event_id("api", operation.user.name, name, key, *(() if part is None else (part,))),
    )


def said_before(info: Info, event: Event) -> Payload | None:
    """What was said first with the same key about the same subject, as it stands on the log; None when there is nothing, or no key.

    For wishes whose event depends on what was there: a repeat is compared with what was there then.
    """
    operation = operation_of(info)
    if key_of(info) is None:
        return None
    try:
        with operation.services.reader.snapshot((INDEX,)) as snapshot:
            position = accepted_before(snapshot.connection, event)
            found = positions_of(snapshot.connection, event.source, event.id)
    except NotProjected:
        return None
    position = position or next((one.position for one in found if one.subject == event.subject), None)
    said = None if position is None else operation.services.log.at(position)
    return None if said is None else said.data


def earlier(info: Info, event: Event, *, identity: str) -> Written | None:
    """The same wish, said before with the same key and not rejected; None when there is none, or no key.

    Asked before the courtesy checks, which a repeat may fail: what is deleted cannot be deleted again.

    Raises:
        InputRefused: the key was used for something else.
        ApiError: ACCEPTED_NOT_YET_VISIBLE.
    """
    operation = operation_of(info)
    if key_of(info) is None:
        return None
    operation.renew()  # no transaction is held open while projections are waited for
    try:
        # The guards know it at once and for ever; the index, later and for a while, where the key named another subject.
        with operation.services.reader.snapshot((INDEX,)) as snapshot:
            accepted = accepted_before(snapshot.connection, event)
            found = positions_of(snapshot.connection, event.source, event.id)
    except NotProjected:
        return None
    for one in found:
        if one.subject != event.subject:
            raise _key_reused(f"{one.type} of {one.subject}", identity)
    position = accepted or (found[-1].position if found else None)
    if position is None:
        return None
    return _answered(operation, event, position, identity, or_else_again=True)


def write(info: Info, event: Event, *, identity: str) -> Written:
    """Publish, and wait until the event is judged and the answer's projections have passed it.

    ``identity`` is the id of what is changed, for the error where that takes too long. The operation's snapshot is renewed.

    Raises:
        ApiError: REJECTED with the reason; ACCEPTED_NOT_YET_VISIBLE with id and position when the time is over.
        InputRefused: the key was used for something else.
    """
    operation = operation_of(info)
    operation.renew()
    (position,) = operation.services.publisher.publish([event])
    written = _answered(operation, event, position, identity)
    if written is None:
        raise TypeError("a write is answered or refused")
    return written


def _answered(
    operation: Operation, event: Event, position: Position, identity: str, *, or_else_again: bool = False
) -> Written | None:
    """What became of the event at ``position``; None when it was rejected and may be published again."""
    judged = wait_judged(
        operation.services.reader, position, operation.projections, operation.services.limits.wait_s
    )
    found = judged.verdict
    if found.state == REJECTED:
        if or_else_again:
            return None
        raise ApiError(
            Code.REJECTED,
            f"Refused: {found.reason}.",
            remedy=_REFUSED.get(found.reason_code or "", "See what is there now, and say it anew."),
            reason=found.reason,
            reasonCode=found.reason_code,
            id=identity,
            position=str(position),
        )
    if found.state == PENDING or not judged.visible:
        raise ApiError(
            Code.ACCEPTED_NOT_YET_VISIBLE,
            "It is on the log; the projections have not passed it yet.",
            remedy="Read again with minPosition, or repeat with the same Idempotency-Key.",
            id=identity,
            position=str(position),
            state=found.state,
        )
    accepted_at = found.of or position
    if found.state == DUPLICATE or or_else_again:
        said = operation.services.log.at(accepted_at)
        if said is not None and not same_wish(said, event):
            raise _key_reused(f"{said.type.name} of {said.subject} with other content", identity)
    operation.renew()
    operation.note_written(event, accepted_at, found)
    return Written(event=event, position=accepted_at, verdict=found)


def _key_reused(what: str, identity: str) -> InputRefused:
    return InputRefused(
        KEY_FIELD,
        f"this key was used for another request: {what}",
        remedy="A key names one request for ever: use a new key for a new one.",
        id=identity,
    )
