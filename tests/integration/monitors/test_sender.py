"""The sender over a real database, vault and blob store: what one delivery meets is nothing to the others, and nobody hears twice."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.blobs import BlobStore
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.errors import DatabaseUnreachable
from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault_key import vault_key
from projections.catalogue import projection
from projections.generations import ensure_generation
from projections.monitors.queries import definitions
from projections.reading import Reader
from schemas.envelope import Position
from schemas.events import (
    ActionFailed,
    ActionKind,
    ActionRequested,
    ActionSucceeded,
    Delivery,
    MonitorAction,
    MonitorActionDisabled,
    MonitorCreated,
    MonitorUpdated,
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
from streams.leases import Leases
from streams.monitors.delivery.carrier import Carrier
from streams.monitors.doors import Doors, SecretMissing, open_doors
from streams.monitors.forgetting import OF_MONITORS, UnnamedSecrets
from streams.monitors.sender import Sender, SenderPolicy
from streams.transient import is_transient
from tests.support.office import Free
from tests.support.projecting import fold_into, folding, settings_for
from tests.support.receiver import Receiver, Told, receiving
from tests.support.system import eventually
from tests.unit.streams.events import NOW, RecordingContext, event

Connection = psycopg.Connection[Any]
REPOSITORY = 7
MOMENT = "push:1"
OWNER = "o"


class House(RecordingContext):
    """One installation without a broker: what is said is folded at once, and the sender's words are kept."""

    def __init__(
        self, settings: Settings, reader: Reader, receiver: Receiver, connection: Connection
    ) -> None:
        super().__init__()
        self.settings, self.reader, self.receiver = settings, reader, receiver
        self.secrets = open_doors(settings, reader, Role.WORKER).secrets
        self.blobs = BlobStore(settings.effective_blob_url)
        self.mail_address: Callable[[str], str | None] = lambda user: None
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
        """A monitor that has found something, and what is asked for it."""
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
        delivery = Delivery(action_id=1, recipient=(action.recipients or [""])[0])
        outcome = RunOutcome(
            monitor_id=number, begun=0, status=RunStatus.COMPLETED, query="type:diff q", result_count=1, match_count=1,
            blob=blob, deliveries=[delivery], tips=[],
        )  # fmt: skip
        self.say(
            TriggerEvaluated(repository_id=REPOSITORY, moment=MOMENT, pushed_offset=1, outcomes=[outcome])
        )
        request = ActionRequested(
            monitor_id=number, job_id=trigger_job_id(number, REPOSITORY, MOMENT), action_id=1,
            recipient=delivery.recipient, repository_id=REPOSITORY, delivery_id=f"d-{number}", since=NOW,
        )  # fmt: skip
        self.say(request)
        return request

    def send(self, *requests: ActionRequested) -> None:
        """One batch of a sender that knows nothing but the projections."""
        doors = Doors(self.secrets, lambda user: self.mail_address(user), lambda user, repository_id: True)
        log = Free()
        sender = Sender(
            self.reader, log, self.blobs, doors, Carrier.of(self.settings, doors), Leases(log, "test"),
            SenderPolicy(3_600.0, "https://millstream.example"),
        )  # fmt: skip
        batch = [
            Received(event(one), Position(Topic.TRIGGERS, 0, number), NOW)
            for number, one in enumerate(requests)
        ]
        assert asyncio.run(sender.handle(batch, self)) == ()

    def said(self, request: ActionRequested) -> list[ActionSucceeded | ActionFailed]:
        """What was published of this delivery."""
        outcomes = [one.data for one in self.events if isinstance(one.data, ActionSucceeded | ActionFailed)]
        return [one for one in outcomes if one.monitor_id == request.monitor_id]

    def action_of(self, monitor_id: int) -> definitions.Action:
        with self.reader.snapshot(("monitors",)) as snapshot:
            return definitions.by_ids(snapshot.connection, [monitor_id])[monitor_id].actions[0]


@pytest.fixture(scope="module")
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(database, tmp_path_factory.mktemp("sender"))
    projector = make_engine(found, Role.PROJECTOR, pool_size=1)
    for name in ("access", "accounts", "monitors"):
        ensure_generation(projector, projection(name))
    projector.dispose()
    return found.model_copy(update={"action_allowed_hosts": ["127.0.0.1"], "action_timeout_s": 5.0})


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
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


@contextmanager
def holding(receiver: Receiver, path: str, until: Callable[[], bool]) -> Iterator[None]:
    """While it lasts, who sends to ``path`` is not answered before ``until``: it is under way when others fail."""

    def wait(told: Told) -> None:
        if told.path == path:
            eventually(until, "the others' faults", timeout_s=4)

    receiver.on_request = wait
    yield
    receiver.on_request = None


def blob_of(house: House, content: bytes) -> ResultsBlob:
    kept = house.blobs.put(content)
    return ResultsBlob(uri=kept.uri, size_bytes=kept.size_bytes, sha256=kept.sha256)


def foreign_secret(house: House, folder: Path) -> SecretPlace:
    """An address that another installation's key has sealed."""
    other = house.settings.model_copy(update={"vault_key_file": folder / "other-key"})
    vault_key(other)  # there before it is asked: nobody makes a second key for a vault in use
    ref = (
        open_doors(other, house.reader, Role.WORKER)
        .secrets.put("http://127.0.0.1/", kind="webhook-url", owner=OWNER)
        .ref
    )
    return SecretPlace(ref=ref, fingerprint="", host="127.0.0.1")


def test_faults_of_one_delivery_are_its_own(house: House, tmp_path: Path) -> None:
    damaged, unreadable = blob_of(house, b"[]"), blob_of(house, b"{}")
    Path(house.blobs.path_of(damaged.sha256)).write_bytes(b"[1")
    good = house.monitor(1, house.webhook("/good"))
    corrupt = house.monitor(2, house.webhook("/corrupt", results=True), damaged)
    strange = house.monitor(3, house.webhook("/strange", results=True), unreadable)
    sealed = house.monitor(4, house.webhook("/sealed", foreign_secret(house, tmp_path)))
    with holding(house.receiver, "/good", lambda: all(house.said(one) for one in (corrupt, strange, sealed))):
        house.send(good, corrupt, strange, sealed)
    assert isinstance(house.said(good)[0], ActionSucceeded)
    for request in (corrupt, strange):
        (outcome,) = house.said(request)
        assert isinstance(outcome, ActionFailed)
        assert (outcome.final, outcome.reason) == (True, "results-unreadable")
        assert "damaged" in outcome.message
    (closed,) = house.said(sealed)
    assert isinstance(closed, ActionFailed)
    assert (closed.final, closed.reason, closed.not_before) == (
        False,
        "vault-closed",
        NOW + timedelta(seconds=5),
    )
    assert [one.path for one in house.receiver.told] == ["/good"]
    house.send(good, corrupt, strange, sealed)
    assert len(house.receiver.told) == 1
    assert len(house.events) == 4


def test_an_error_that_goes_away_counts_after_all_others_are_recorded(house: House) -> None:
    good = house.monitor(11, house.webhook("/eleven"))
    mail = house.monitor(12, MonitorAction(action_id=1, kind=ActionKind.EMAIL, recipients=["ann"]))
    asked: list[str] = []

    def unreachable(user: str) -> str | None:
        asked.append(user)
        raise DatabaseUnreachable("the database does not answer")

    house.mail_address = unreachable
    with holding(house.receiver, "/eleven", lambda: bool(asked)), pytest.raises(ExceptionGroup) as caught:
        house.send(good, mail)
    assert is_transient(caught.value)
    assert isinstance(house.said(good)[0], ActionSucceeded)
    assert house.said(mail) == []
    house.mail_address = lambda user: None
    house.send(good, mail)
    assert len(house.receiver.told) == 1
    assert [one.reason for one in house.said(mail) if isinstance(one, ActionFailed)] == ["no-address"]


def test_a_410_is_about_the_definition_that_was_sent_by(house: House) -> None:
    request = house.monitor(21, house.webhook("/old"))
    corrected = house.webhook("/new")

    def correct(told: Told) -> None:
        if told.path == "/old":
            house.say(MonitorUpdated(monitor_id=21, description="d", actions=[corrected]))

    house.receiver.on_request = correct
    house.receiver.answers = {"/old": [(410, {})], "/new": [(410, {}), (200, {})]}
    house.send(request)
    assert [one.data.action_id for one in house.events if isinstance(one.data, MonitorActionDisabled)] == [1]
    assert house.action_of(21).sends, "the answer to the old address says nothing of the new one"
    assert corrected.url is not None
    assert house.action_of(21).url_ref == corrected.url.ref
    again = ActionRequested(
        monitor_id=21, job_id=request.job_id, action_id=1, attempt=2, repository_id=REPOSITORY,
        delivery_id="d-21-2", since=NOW, recipient="another",
    )  # fmt: skip
    house.say(again)
    house.send(again)
    assert not house.action_of(21).sends
    # What another sender had under way to the old address comes last, and changes nothing.
    house.say(MonitorActionDisabled(monitor_id=21, action_id=1, reason="gone", defined_offset=1))
    assert not house.action_of(21).sends
    house.say(MonitorUpdated(monitor_id=21, description="d", actions=[corrected]))
    assert house.action_of(21).sends
    house.say(MonitorActionDisabled(monitor_id=21, action_id=1, reason="gone"))
    assert not house.action_of(21).sends, "older senders meant the definition of their time"


@pytest.mark.parametrize("fault", ["exposed", "wrong"])
def test_a_vault_that_does_not_open_ends_no_process(house: House, tmp_path: Path, fault: str) -> None:
    key = tmp_path / "vault-key"
    key.write_text("A" * 43 if fault == "exposed" else "short")
    key.chmod(0o644 if fault == "exposed" else 0o600)
    closed = house.settings.model_copy(update={"vault_key_file": key})
    unnamed = house.secrets.put("http://127.0.0.1/unnamed", kind="webhook-url", owner=OWNER).ref

    def forget(settings: Settings) -> None:
        secrets = open_doors(settings, house.reader, Role.WORKER).secrets
        asyncio.run(UnnamedSecrets(OF_MONITORS, house.reader, Free(), secrets, house, timedelta()).tick())

    forget(closed)
    assert house.secrets.get(unnamed, kind="webhook-url", owner=OWNER)
    forget(house.settings)
    with pytest.raises(SecretMissing):
        house.secrets.get(unnamed, kind="webhook-url", owner=OWNER)
