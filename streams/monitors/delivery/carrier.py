"""Carries a parcel by the way of its action: mail, Slack or webhook."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
import structlog

from infra.settings import Settings
from projections.monitors.queries.definitions import Action
from schemas.events import ActionKind
from streams.monitors.delivery import slack, webhook
from streams.monitors.delivery.address import AddressPolicy, UrlRefused, target_of
from streams.monitors.delivery.http import NotDelivered, Poster
from streams.monitors.delivery.mail import Mailer, MailServer, mail_of
from streams.monitors.delivery.message import Message
from streams.monitors.delivery.outcomes import Outcome, Refused, outcome_of
from streams.monitors.delivery.signing import SigningKeyInvalid, signed_headers
from streams.monitors.doors import Doors, SecretMissing
from streams.monitors.forgetting import SIGNING_KIND, url_kind

CONTENT_TYPE: Final = "application/json"
_log = structlog.get_logger()


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """What is said, by which action, to whom; ``recipient`` is a user name, of a mail.

    ``given`` are secrets that are in no vault: of an action that is tried out before it is kept.
    """

    message: Message
    action: Action
    recipient: str
    delivery_id: str
    at: datetime
    given: Mapping[str, str] = {}


class Carrier:
    """Threads and loops may share it."""

    def __init__(self, doors: Doors, poster: Poster, mailer: Mailer) -> None:
        self._doors = doors
        self._poster = poster
        self._mailer = mailer

    @classmethod
    def of(cls, settings: Settings, doors: Doors) -> "Carrier":
        """By the settings."""
        policy = AddressPolicy.of(settings.action_allowed_hosts)
        poster = Poster(policy, settings.action_timeout_s, settings.action_ca_file)
        return cls(doors, poster, Mailer(MailServer.of(settings)))

    async def carry(self, parcel: Parcel) -> Outcome:
        """What became of it."""
        try:
            if parcel.action.kind is ActionKind.EMAIL:
                return await asyncio.to_thread(self._mail, parcel)
            return await self._post(parcel)
        except SecretMissing as error:
            return Refused("secret-missing", str(error), is_final=True)
        except SigningKeyInvalid as error:
            return Refused("signing-key-invalid", str(error), is_final=True)
        except UrlRefused as error:
            _log.warning("address_refused", delivery=parcel.delivery_id, detail=error.detail or str(error))
            return Refused("address-refused", str(error), is_final=True)
        except NotDelivered as error:
            return Refused("unreachable", str(error))

    async def _post(self, parcel: Parcel) -> Outcome:
        action = parcel.action
        url = await asyncio.to_thread(self._secret, parcel, action.url_ref, url_kind(action.kind))
        if action.kind is ActionKind.SLACK_WEBHOOK:
            body, headers = slack.body_of(parcel.message), {}
        else:
            body = webhook.body_of(parcel.message)
            key = await asyncio.to_thread(self._secret, parcel, action.signing_ref, SIGNING_KIND)
            headers = signed_headers(key, parcel.delivery_id, parcel.at, body)
        answer = await self._poster.post(target_of(url), {"Content-Type": CONTENT_TYPE, **headers}, body)
        return outcome_of(answer, parcel.at)

    def _secret(self, parcel: Parcel, ref: str | None, kind: str) -> str:
        if ref is None:
            raise SecretMissing("the action names no secret", remedy="Edit the monitor: give it again.")
        if ref in parcel.given:
            return parcel.given[ref]
        return self._doors.secrets.get(ref, kind=kind, owner=parcel.message.owner)

    def _mail(self, parcel: Parcel) -> Outcome:
        address = self._doors.address_of(parcel.recipient)
        if address is None:
            return Refused("no-address", f"{parcel.recipient} has no verified mail address", is_final=True)
        try:
            mail = mail_of(
                parcel.message,
                delivery_id=parcel.delivery_id,
                sender=self._mailer.sender,
                recipient=address,
                at=parcel.at,
                priority=parcel.action.priority,
                header=parcel.action.header,
            )
        except ValueError:  # a line break in an address would begin another header
            return Refused("no-address", f"the address of {parcel.recipient} is none", is_final=True)
        return self._mailer.send(mail)
