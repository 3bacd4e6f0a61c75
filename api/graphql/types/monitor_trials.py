"""Mutations that try out an action of a code monitor: a message goes out at once, by the door that real ones take. Nothing is kept."""

import asyncio
import math
import secrets
from collections.abc import Mapping
from typing import Final

from ariadne import MutationType

from api.commands.errors import ApiError, Code, InputRefused
from api.commands.monitors import ActionReader, description_of
from api.graphql.operation import Operation
from api.graphql.types.info import Info, operation_of
from api.graphql.types.monitor_changes import own_namespace, user_of
from projections.monitors.queries.definitions import Action
from schemas.events import ActionKind, MonitorAction, SecretPlace
from streams.monitors.delivery.carrier import Parcel
from streams.monitors.delivery.message import Message
from streams.monitors.delivery.outcomes import Refused
from streams.monitors.delivery.signing import new_key
from streams.monitors.results import Result

mutation = MutationType()
Input = Mapping[str, object]
QUERY: Final = "test query"
_TEXT: Final = "Test: a commit that would match\n"
_RESULT: Final = Result(
    repository="example.com/team/repository",
    commit="0" * 40,
    message=_TEXT,
    matched_message_ranges=[(0, 4)],
)


@mutation.field("triggerTestEmailAction")
def resolve_email(_: object, info: Info, namespace: str, description: str, email: Input) -> dict[str, object]:
    return _try_out(info, namespace, description, "email", email)


@mutation.field("triggerTestWebhookAction")
def resolve_webhook(
    _: object, info: Info, namespace: str, description: str, webhook: Input
) -> dict[str, object]:
    return _try_out(info, namespace, description, "webhook", webhook)


@mutation.field("triggerTestSlackWebhookAction")
def resolve_slack(
    _: object, info: Info, namespace: str, description: str, slack_webhook: Input
) -> dict[str, object]:
    return _try_out(info, namespace, description, "slack_webhook", slack_webhook)


def _try_out(info: Info, namespace: str, description: str, kind: str, given: Input) -> dict[str, object]:
    operation = operation_of(info)
    monitoring = operation.services.monitoring
    owner = own_namespace(operation, namespace, "namespace")
    shown = description_of(description, "description")
    action, kept = _read(operation, kind, given)
    recipients = action.recipients or ("",)
    wait_s = monitoring.trials.take(operation.user.name, len(recipients))
    if wait_s:
        raise ApiError(
            Code.LIMIT_EXCEEDED,
            "Too many messages were sent to try something out.",
            remedy="Name fewer recipients." if wait_s == math.inf else f"Wait {wait_s:.0f} s.",
            limit="trials",
        )
    operation.renew()  # no transaction is held open while somebody else's server is waited for
    results = [_RESULT] if action.kind is ActionKind.EMAIL and action.include_results else None
    for recipient in recipients:
        operation.check_time()
        parcel = Parcel(
            message=Message(
                monitor_id=0,
                job_id=0,
                description=shown,
                owner=owner,
                query=QUERY,
                count=1,
                results=results,
                external_url=monitoring.external_url,
                is_test=True,
            ),
            action=action,
            recipient=recipient,
            delivery_id=f"test_{secrets.token_hex(16)}",
            at=operation.now,
            given=kept,
        )
        outcome = asyncio.run(monitoring.carrier.carry(parcel))
        if isinstance(outcome, Refused):
            raise ApiError(
                Code.REFUSED,
                f"The message was not delivered: {outcome.message}.",
                reason=outcome.reason,
            )
    return {}


def _read(operation: Operation, name: str, given: Input) -> tuple[Action, dict[str, str]]:
    """The action by the rules of a real one, and its secrets, which go into no vault. Raises InputRefused."""
    kept: dict[str, str] = {}

    def keep(secret: str, kind: str) -> SecretPlace:
        kept[kind] = secret
        return SecretPlace(ref=kind, fingerprint="")

    reader = ActionReader(
        keep=keep,
        make_key=lambda action_id: new_key(),
        user_of=lambda one, field: user_of(operation, one, field),
        slack_hosts=operation.services.monitoring.slack_hosts,
        seed="trial",
    )
    try:
        (read,) = reader.actions([{name: given}], lambda _given, _kind, _field: None)
    except InputRefused as error:
        error.extensions["field"] = str(error.extensions.get("field")).removeprefix("actions[0].")
        raise
    return _action_of(read), kept


def _action_of(read: MonitorAction) -> Action:
    return Action(
        id=read.action_id,
        kind=read.kind,
        place=0,
        enabled=True,
        include_results=read.include_results,
        priority=read.priority,
        header=read.header,
        recipients=tuple(read.recipients),
        url_ref=None if read.url is None else read.url.ref,
        host="" if read.url is None else read.url.host,
        signing_ref=None if read.signing is None else read.signing.ref,
    )


bindables = [mutation]
