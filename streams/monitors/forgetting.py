"""Secrets of deleted monitors, and those that an edit has replaced, leave the vault (a timer of the leader, app *heads*).

Nothing is sent with them any more: who sends reads the monitor as it is. What is on its way was read before, so they stay for a time of
grace. Nothing leaves while an event of a monitor is a dead letter or in quarantine: it may name anything.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from infra.secret_file import SecretExposed
from infra.vault_key import VaultKeyWrong
from projections.monitors.queries.definitions import secret_refs
from projections.reading import Reader
from schemas.events import ActionKind
from schemas.topics import Topic
from streams.agent import Context, Timer
from streams.monitors.doors import Secrets
from streams.projected import EndsOfTopics, has_passed

SIGNING_KIND: Final = "webhook-signing-key"
LOOK_S: Final = 300.0
_PROJECTION: Final = "monitors"
_log = structlog.get_logger()


def url_kind(kind: ActionKind) -> str:
    """How the vault calls the address of such an action."""
    return f"{kind.value}-url"


KINDS: Final = (url_kind(ActionKind.WEBHOOK), url_kind(ActionKind.SLACK_WEBHOOK), SIGNING_KIND)


class SecretsOfMonitors:
    """One per process; its timer runs in the leader."""

    def __init__(
        self, reader: Reader, log_ends: EndsOfTopics, secrets: Secrets, context: Context, grace: timedelta
    ) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self._secrets = secrets
        self._context = context
        self._grace = grace

    @property
    def timer(self) -> Timer:
        return Timer(name="monitors.secrets", interval_s=LOOK_S, tick=self.tick)

    async def tick(self) -> None:
        """Forget what nothing names. A vault that does not open is no reason to end: the next look finds the same."""
        if not await has_passed(self._reader, self._log_ends, _PROJECTION, Topic.MONITORS):
            return
        try:
            forgotten = await asyncio.to_thread(self._forget)
        except (VaultKeyWrong, SecretExposed) as error:
            _log.error("secrets_not_forgotten", reason=str(error), remedy=error.remedy)
            return
        if forgotten:
            _log.info("secrets_forgotten", secrets=forgotten)

    def _forget(self) -> int:
        with self._reader.snapshot((_PROJECTION,)) as snapshot:
            if snapshot.has_put_aside(_PROJECTION, Topic.MONITORS.value):
                _log.info("secrets_not_forgotten", reason="events of monitors are put aside")
                return 0
            named = secret_refs(snapshot.connection)
        return self._secrets.forget_unnamed(KINDS, named, self._context.now(), self._grace)
