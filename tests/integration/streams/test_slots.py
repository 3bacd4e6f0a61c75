"""A slot behind a network that swallows everything: its process knows before another one may hold it."""

import queue
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from infra.postgres.connect import LOST_AFTER_S, connect
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HANDS_APP
from streams.slots import ALONE_S, LEASE_MS, NoSlotFree, Slot, SlotLost
from tests.support.proxy import Proxy
from tests.support.system import eventually

LEASE_S = LEASE_MS / 1_000


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    with Proxy(int(conninfo_to_dict(settings.dsn(Role.WORKER))["port"] or 5432)) as found:
        yield found


@pytest.fixture
def behind(settings: Settings, proxy: Proxy) -> Settings:
    url = make_conninfo(settings.dsn(Role.ADMIN), host="127.0.0.1", port=proxy.port)
    return settings.model_copy(update={"database_url": SecretStr(url)})


def test_a_process_whose_database_is_silent_ends_before_its_slot_is_anothers(
    settings: Settings, behind: Settings, proxy: Proxy
) -> None:
    lost: queue.Queue[tuple[float, BaseException]] = queue.Queue()
    with closing(Slot.take(behind, HANDS_APP)) as slot:
        slot.watch(lambda error: lost.put((time.monotonic(), error)))
        slot.live()
        proxy.half_open()
        silent_s = time.monotonic()
        successor = eventually(
            lambda: taken(settings, slot.number), "the slot to be free", timeout_s=LEASE_S + 30, poll_s=0.1
        )
        free_s = time.monotonic()
        successor.close()
        lost_s, error = lost.get_nowait()
        assert isinstance(error, SlotLost)
        assert lost_s < free_s
        assert lost_s - silent_s <= ALONE_S + 1.0
        proxy.heal()
        assert lost.empty(), "said once"


def test_a_slot_that_is_answered_is_kept_and_one_that_is_given_back_is_not_lost(settings: Settings) -> None:
    lost: queue.Queue[BaseException] = queue.Queue()
    with closing(Slot.take(settings, HANDS_APP)) as slot:
        slot.watch(lost.put)
        with pytest.raises(NoSlotFree):
            Slot.take(settings, HANDS_APP, wanted=slot.number)
        with pytest.raises(queue.Empty):
            lost.get(timeout=ALONE_S + 2.0)
        assert slot.live() == 1
    with pytest.raises(queue.Empty):
        lost.get(timeout=2.0)


def test_the_kernel_gives_up_what_nobody_acknowledges(behind: Settings) -> None:
    with connect(behind, Role.WORKER) as connection, socket.socket(fileno=connection.fileno()) as held:
        timeout_ms = held.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        held.detach()
    assert timeout_ms == LOST_AFTER_S * 1_000


def taken(settings: Settings, number: int) -> Slot | None:
    try:
        return Slot.take(settings, HANDS_APP, wanted=number)
    except NoSlotFree:
        return None
