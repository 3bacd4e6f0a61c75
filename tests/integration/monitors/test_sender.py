"""The sender over a real database, vault and blob store: what one delivery meets is nothing to the others, and nobody hears twice."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from infra.postgres.errors import DatabaseUnreachable
from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault_key import vault_key
from schemas.events import (
    ActionFailed,
    ActionKind,
    ActionSucceeded,
    Delivery,
    MonitorAction,
    MonitorActionDisabled,
    MonitorUpdated,
    ResultsBlob,
    SecretPlace,
)
from streams.monitors.doors import SecretMissing, open_doors
from streams.monitors.forgetting import OF_MONITORS, UnnamedSecrets
from streams.transient import is_transient
from tests.support.monitor_house import OWNER, House
from tests.support.office import Free
from tests.support.receiver import Receiver, Told
from tests.support.system import eventually
from tests.unit.streams.events import NOW


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
    house.ended(21, [Delivery(action_id=1)], moment="push:2")
    house.send(house.asked(21, Delivery(action_id=1), moment="push:2"))
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
