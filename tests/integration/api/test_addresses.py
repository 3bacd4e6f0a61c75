"""Addresses of accounts: whatever is repeated, the vault keeps the one that holds, and in the end no other."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.role import Role
from infra.vault import EMAIL_KIND, Vaults
from projections.reading import Reader
from streams.log_ends import TopicEnds
from streams.monitors.doors import open_doors
from streams.monitors.forgetting import OF_ACCOUNTS, UnnamedSecrets
from tests.integration.api.conftest import Api
from tests.integration.api.test_removal import Clock

GRACE = timedelta(hours=24)
ADD = "mutation A($id: ID!, $email: String!) { addUserEmail(user: $id, email: $email) { alwaysNil } }"
REMOVE = "mutation R($id: ID!, $email: String!) { removeUserEmail(user: $id, email: $email) { alwaysNil } }"


@pytest.fixture
def vaults(api: Api) -> Iterator[Vaults]:
    made = Vaults(api.settings, Role.WORKER)
    yield made
    made.close()


def opened(api: Api, name: str) -> str:
    text = "mutation C($name: String!) { createUser(username: $name) { user { id } } }"
    made: str = api.ask(text, {"name": name})["createUser"]["user"]["id"]
    return made


def emails(api: Api, name: str) -> list[str]:
    text = "query E($name: String!) { user(username: $name) { emails { email } } }"
    return [one["email"] for one in api.ask(text, {"name": name})["user"]["emails"]]


def kept(api: Api, vaults: Vaults, address: str) -> int:
    """How many secrets hold the address."""
    with psycopg.connect(api.settings.dsn(Role.ADMIN)) as connection:
        refs = [ref for (ref,) in connection.execute("select ref from vault.secrets")]
    with vaults.open() as vault:
        return list(vault.get_all(refs, kind=EMAIL_KIND).values()).count(address)


def test_a_repeated_addition_takes_nothing_from_the_address_that_came_later(api: Api, vaults: Vaults) -> None:
    node = opened(api, "adding")
    first, second = ({"id": node, "email": f"{one}@adding.example"} for one in "ab")
    api.ask(ADD, first, key="K1")
    api.ask(ADD, second, key="K2")
    assert emails(api, "adding") == ["b@adding.example"]
    api.ask(ADD, first, key="K1")
    assert emails(api, "adding") == ["b@adding.example"]
    assert kept(api, vaults, "a@adding.example") == 0
    api.ask(ADD, second, key="K2")
    assert emails(api, "adding") == ["b@adding.example"]


def test_a_repeated_removal_removes_nothing_that_was_added_anew(api: Api, vaults: Vaults) -> None:
    node = opened(api, "removing")
    address = {"id": node, "email": "a@removing.example"}
    api.ask(ADD, address, key="K3")
    api.ask(REMOVE, address, key="K4")
    assert kept(api, vaults, "a@removing.example") == 0
    api.ask(REMOVE, address, key="K4")
    api.ask(ADD, address, key="K5")
    api.ask(REMOVE, address, key="K4")
    assert emails(api, "removing") == ["a@removing.example"]
    api.ask(REMOVE, address, key="K6")
    assert emails(api, "removing") == []
    assert kept(api, vaults, "a@removing.example") == 0


def test_an_address_that_no_account_names_leaves_the_vault(
    api: Api, vaults: Vaults, reader: Reader, publisher: Publisher
) -> None:
    node = opened(api, "naming")
    api.ask(ADD, {"id": node, "email": "named@naming.example"})
    with vaults.open() as vault:  # as a call leaves it that died between the vault and the log
        vault.put("left@naming.example", kind=EMAIL_KIND)
    clock = Clock(publisher)
    with KafkaAdmin(api.settings) as admin:
        secrets = open_doors(api.settings, reader, Role.WORKER).secrets
        sweeper = UnnamedSecrets(OF_ACCOUNTS, reader, TopicEnds(admin), secrets, clock, GRACE)
        asyncio.run(sweeper.tick())
        clock.ahead = GRACE / 2
        asyncio.run(sweeper.tick())
        assert kept(api, vaults, "left@naming.example") == 1
        clock.ahead = GRACE + timedelta(minutes=1)
        asyncio.run(sweeper.tick())
    assert kept(api, vaults, "left@naming.example") == 0
    assert emails(api, "naming") == ["named@naming.example"]
