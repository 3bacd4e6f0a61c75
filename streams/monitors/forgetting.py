"""Secrets that nothing names any more leave the vault (timers of the leader, app *heads*).

Of monitors that are those of deleted ones, and those that an edit has replaced: who sends reads the monitor as it is, and what is on its way
was read before. Of accounts, addresses whose call ended between the vault and the log. They stay for a time of grace; nothing leaves while
an event that may name one is a dead letter or in quarantine.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

import msgspec
import structlog
from sqlalchemy import Connection

from infra.secret_file import SecretExposed
from infra.vault import EMAIL_KIND
from infra.vault_key import VaultKeyWrong
from projections.accounts.queries import email_refs
from projections.monitors.queries.definitions import secret_refs
from projections.reading import Reader
from schemas.events import ActionKind
from schemas.topics import Topic
from streams.agent import Context, Timer
from streams.monitors.doors import Secrets
from streams.projected import EndsOfTopics, has_passed

SIGNING_KIND: Final = "webhook-signing-key"
LOOK_S: Final = 300.0
_log = structlog.get_logger()


def url_kind(kind: ActionKind) -> str:
    """How the vault calls the address of such an action."""
    return f"{kind.value}-url"


class Naming(msgspec.Struct, frozen=True):
    """Which projection names secrets of which kinds. ``refs`` are the names that hold now, of all of them."""

    timer: str
    projection: str
    topic: Topic
    kinds: tuple[str, ...]
    refs: Callable[[Connection], Collection[str]]


OF_MONITORS: Final = Naming(
    "monitors.secrets",
    "monitors",
    Topic.MONITORS,
    (url_kind(ActionKind.WEBHOOK), url_kind(ActionKind.SLACK_WEBHOOK), SIGNING_KIND),
    secret_refs,
)
OF_ACCOUNTS: Final = Naming("accounts.addresses", "accounts", Topic.ACCOUNTS, (EMAIL_KIND,), email_refs)


class UnnamedSecrets:
    """One per process and naming; its timer runs in the leader."""

    def __init__(
        self,
        naming: Naming,
        reader: Reader,
        log_ends: EndsOfTopics,
        secrets: Secrets,
        context: Context,
        grace: timedelta,
    ) -> None:
        self._naming = naming
        self._reader = reader
        self._log_ends = log_ends
        self._secrets = secrets
        self._context = context
        self._grace = grace

    @property
    def timer(self) -> Timer:
        return Timer(name=self._naming.timer, interval_s=LOOK_S, tick=self.tick)

    async def tick(self) -> None:
        """Forget what nothing names. A vault that does not open is no reason to end: the next look finds the same."""
        if not await has_passed(self._reader, self._log_ends, self._naming.projection, self._naming.topic):
            return
        try:
            forgotten = await asyncio.to_thread(self._forget)
        except (VaultKeyWrong, SecretExposed) as error:
            _log.error("secrets_not_forgotten", reason=str(error), remedy=error.remedy)
            return
        if forgotten:
            _log.info("secrets_forgotten", secrets=forgotten)

    def _forget(self) -> int:
        naming = self._naming
        with self._reader.snapshot((naming.projection,)) as snapshot:
            if snapshot.has_put_aside(naming.projection, naming.topic.value):
                _log.info("secrets_not_forgotten", reason=f"events of {naming.topic.value} are put aside")
                return 0
            named = naming.refs(snapshot.connection)
        return self._secrets.forget_unnamed(naming.kinds, named, self._context.now(), self._grace)
