"""A sender over a real database, vault and blob store, without a broker: what is said is folded at once, and its words are kept."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from infra.blobs import BlobStore
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import projection
from projections.generations import ensure_generation
from projections.monitors.queries import definitions, history
from projections.reading import Reader
from schemas.envelope import Position
from schemas.events import (
    ActionFailed,
    ActionKind,
    ActionRequested,
    ActionSucceeded,
    Delivery,
    MonitorAction,
    MonitorCreated,
    ResultsBlob,
    RunOutcome,
    RunStatus,
    SecretPlace,
    TriggerEvaluated,
)
from schemas.registry import Payload
from schemas.topics import Topic
from schemas.triggers.ids import trigger_job_id
from streams.agent import Outgoing, Received
from streams.leases import Leases, Locks
from streams.monitors.delivery.carrier import Carrier
from streams.monitors.doors import Doors, open_doors
from streams.monitors.sender import Sender, SenderPolicy
from tests.support.office import Free
from tests.support.projecting import fold_into, folding, settings_for
from tests.support.receiver import Receiver, receiving
from tests.unit.streams.events import NOW, RecordingContext, event

REPOSITORY = 7
MOMENT = "push:1"
OWNER = "o"


class House(RecordingContext):
    """One installation. ``locks`` give the sender its leases."""

    def __init__(
        self, settings: Settings, reader: Reader, receiver: Receiver, connection: "psycopg.Connection[Any]"
    ) -> None:
        super().__init__()
        self.settings, self.reader, self.receiver = settings, reader, receiver
        self.secrets = open_doors(settings, reader, Role.WORKER).secrets
        self.blobs = BlobStore(settings.effective_blob_url)
        self.mail_address: Callable[[str], str | None] = lambda user: None
        self.may_see: Callable[[str, int], bool] = lambda user, repository_id: True
        self.locks: Locks = Free()
        self._connection = connection
        self._lock = threading.Lock()
        self._offset = 0

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        for one in outgoing:
            await asyncio.to_thread(self.say, one.event.data)
        return await super().publish(outgoing)

    def say(self, payload: Payload) -> int:
        """Onto the log, and into the projection; its offset."""
        with self._lock:
            self._offset += 1
            said = folding(event(payload), self._offset)
            fold_into(self._connection, projection("monitors"), [[said]])
            return self._offset

    def webhook(self, path: str, url: SecretPlace | None = None, *, results: bool = False) -> MonitorAction:
        kept = self.secrets.put(self.receiver.url(path), kind="webhook-url", owner=OWNER)
        key = self.secrets.put(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", kind="webhook-signing-key", owner=OWNER
        )
        return MonitorAction(
            action_id=1,
            kind=ActionKind.WEBHOOK,
            include_results=results,
            url=url or SecretPlace(ref=kept.ref, fingerprint="", host="127.0.0.1"),
            signing=SecretPlace(ref=key.ref, fingerprint=""),
        )

    def monitor(self, number: int, action: MonitorAction, blob: ResultsBlob | None = None) -> ActionRequested:
        """A monitor that has found something, and what is asked for it first."""
        self.created(number, action)
        delivery = Delivery(action_id=1, recipient=(action.recipients or [""])[0])
        self.ended(number, [delivery], blob)
        return self.asked(number, delivery)

    def created(self, number: int, action: MonitorAction) -> None:
        self.say(
            MonitorCreated(
                monitor_id=number,
                description="d",
                owner=OWNER,
                created_at=NOW,
                query="type:diff q",
                actions=[action],
            )
        )

    def ended(
        self,
        number: int,
        deliveries: Sequence[Delivery],
        blob: ResultsBlob | None = None,
        moment: str = MOMENT,
    ) -> None:
        """An outcome of a run, with one result where something is to be sent."""
        found = int(bool(deliveries))
        outcome = RunOutcome(
            monitor_id=number, begun=0, status=RunStatus.COMPLETED, query="type:diff q", result_count=found, match_count=found,
            blob=blob, deliveries=list(deliveries), tips=[],
        )  # fmt: skip
        self.say(
            TriggerEvaluated(repository_id=REPOSITORY, moment=moment, pushed_offset=1, outcomes=[outcome])
        )

    def asked(self, number: int, delivery: Delivery, moment: str = MOMENT) -> ActionRequested:
        """That this be sent for the run."""
        request = ActionRequested(
            monitor_id=number, job_id=trigger_job_id(number, REPOSITORY, moment), action_id=delivery.action_id,
            recipient=delivery.recipient, repository_id=REPOSITORY, delivery_id=f"d-{number}-{moment}", since=NOW,
        )  # fmt: skip
        self.say(request)
        return request

    def send(self, *asked: Payload) -> None:
        """One batch of a sender that knows nothing but the projections."""
        doors = Doors(
            self.secrets,
            lambda user: self.mail_address(user),
            lambda user, repository_id: self.may_see(user, repository_id),
        )
        sender = Sender(
            self.reader, Free(), self.blobs, doors, Carrier.of(self.settings, doors), Leases(self.locks, "test"),
            SenderPolicy(3_600.0, "https://millstream.example"),
        )  # fmt: skip
        batch = [
            Received(event(one), Position(Topic.TRIGGERS, 0, number), NOW) for number, one in enumerate(asked)
        ]
        assert asyncio.run(sender.handle(batch, self)) == ()

    def said(self, request: ActionRequested) -> list[ActionSucceeded | ActionFailed]:
        """What was published of this delivery."""
        outcomes = [one.data for one in self.events if isinstance(one.data, ActionSucceeded | ActionFailed)]
        return [one for one in outcomes if one.monitor_id == request.monitor_id]

    def action_of(self, monitor_id: int) -> definitions.Action:
        with self.reader.snapshot(("monitors",)) as snapshot:
            return definitions.by_ids(snapshot.connection, [monitor_id])[monitor_id].actions[0]

    def is_unrequested(self, monitor_id: int) -> bool:
        """Whether a run of the monitor owes that something be asked for."""
        with self.reader.snapshot(("monitors",)) as snapshot:
            return monitor_id in {one for one, _, _ in history.unrequested(snapshot.connection, 100)}


def house_settings(database_url: str, folder: Path) -> Settings:
    """Of an installation with the projections that a sender reads."""
    found = settings_for(database_url, folder)
    projector = make_engine(found, Role.PROJECTOR, pool_size=1)
    for name in ("access", "accounts", "monitors"):
        ensure_generation(projector, projection(name))
    projector.dispose()
    return found.model_copy(update={"action_allowed_hosts": ["127.0.0.1"], "action_timeout_s": 5.0})


@contextmanager
def open_house(settings: Settings) -> Iterator[House]:
    engine = make_engine(settings, Role.WORKER, pool_size=4)
    reader = Reader(engine)
    projector = make_engine(settings, Role.PROJECTOR, pool_size=1)
    schema = ensure_generation(projector, projection("monitors")).schema_name
    projector.dispose()
    with receiving() as receiver, connect(settings, Role.PROJECTOR, autocommit=True) as connection:
        connection.execute(f'set search_path to "{schema}"'.encode())
        yield House(settings, reader, receiver, connection)
    reader.close()
    engine.dispose()
