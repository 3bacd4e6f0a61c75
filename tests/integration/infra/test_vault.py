"""The vault on a real database: kept, named, sealed, erased, carried to another installation."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault import SecretMissing, Vaults
from infra.vault_export import ExportRefused, exported, imported
from infra.vault_key import VaultKeyWrong, vault_key
from tests.support.projecting import settings_for

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(database, tmp_path_factory.mktemp("home"))


@pytest.fixture(params=[Role.APP, Role.WORKER])
def vaults(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Vaults]:
    made = Vaults(settings, request.param)
    yield made
    made.close()


def test_a_secret_is_kept_under_a_name_that_tells_nothing(vaults: Vaults) -> None:
    with vaults.open() as vault:
        one, two = (vault.put("hooks.example/T1", kind="slack") for _ in range(2))
        other = vault.put("hooks.example/T2", kind="slack")
        assert one.ref != two.ref
        assert one.fingerprint == two.fingerprint != other.fingerprint
        assert vault.get(one.ref, kind="slack") == "hooks.example/T1"
        vault.forget(one.ref)
        vault.forget(one.ref)
        with pytest.raises(SecretMissing):
            vault.get(one.ref, kind="slack")
        assert vault.get(two.ref, kind="slack") == "hooks.example/T1"


def test_a_name_opens_nothing_for_another_owner_or_as_another_kind(vaults: Vaults) -> None:
    with vaults.open() as vault:
        hers = vault.put("hooks.example/T1", kind="slack", owner="ann", once="1").ref
        nobodys = vault.put("hooks.example/T2", kind="slack").ref
        assert vault.put("hooks.example/T1", kind="slack", owner="ann", once="1").ref == hers
        assert vault.put("hooks.example/T1", kind="slack", owner="bob", once="1").ref != hers
        assert vault.get(hers, kind="slack", owner="ann") == "hooks.example/T1"
        for ref, kind, owner in (
            (hers, "slack", "bob"),
            (hers, "slack", ""),
            (hers, "slack", None),
            (hers, "email", "ann"),
            (nobodys, "slack", "ann"),
        ):
            with pytest.raises(SecretMissing):
                vault.get(ref, kind=kind, owner=owner)


def test_what_is_repeated_with_a_key_has_one_name(vaults: Vaults) -> None:
    with vaults.open() as vault:
        refs = {vault.put("s", kind="k", once="ann/1").ref for _ in range(3)}
        assert len(refs) == 1
        assert refs.isdisjoint(
            {vault.put("s", kind="k", once="ann/2").ref, vault.put("t", kind="k", once="ann/1").ref}
        )


def test_what_was_unnamed_for_long_is_forgotten_and_nothing_else(vaults: Vaults) -> None:
    now, grace = datetime.now(UTC), timedelta(hours=1)
    kinds = ["swept"]
    with vaults.open() as vault:
        live, gone, again = (
            vault.put(f"s{number}", kind="swept", once=f"{number}").ref for number in range(3)
        )
        other = vault.put("s", kind="kept").ref
        assert vault.forget_unnamed(kinds, [live], now, grace) == 0
        assert vault.forget_unnamed(kinds, [live, again], now + grace / 2, grace) == 0
        assert vault.forget_unnamed(kinds, [live], now + grace, grace) == 1
        assert set(vault.get_all([live, gone, again], kind="swept")) == {live, again}
        assert vault.get(other, kind="kept") == "s"
        # Put again, for an event that is still to come: it begins anew.
        assert vault.put("s2", kind="swept", once="2").ref == again
        assert vault.forget_unnamed(kinds, [live], now + 3 * grace, grace) == 0
        assert vault.forget_unnamed(kinds, [], now + 4 * grace, grace) == 1
        assert set(vault.get_all([live, again], kind="swept")) == {live}
        vault.forget(live)


def test_personal_texts_are_read_until_they_are_erased(vaults: Vaults) -> None:
    with vaults.open() as vault:
        sealed = vault.seal("user:1", "Ann Smith")
        assert sealed == vault.seal("user:1", "Ann Smith")
        assert "Ann" not in sealed
        assert vault.unseal("user:1", sealed) == "Ann Smith"
        assert vault.unseal("user:2", sealed) is None
        vault.erase("user:1")
        assert vault.unseal("user:1", sealed) is None
        vault.seal("user:1", "somebody new")
        assert vault.unseal("user:1", sealed) is None, "a later key does not open what an erased one sealed"


def test_two_that_seal_at_once_use_one_key(vaults: Vaults) -> None:
    sealed: list[str] = []

    def seal() -> None:
        with vaults.open() as vault:
            sealed.append(vault.seal("user:9", "Ann"))

    threads = [threading.Thread(target=seal) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with vaults.open() as vault:
        assert {vault.unseal("user:9", one) for one in sealed} == {"Ann"}


def test_only_app_and_worker_reach_it_and_nobody_without_the_key(settings: Settings, tmp_path: Path) -> None:
    with connect(settings, Role.APP) as connection:
        connection.execute("set transaction read write")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update vault.secrets set kind = 'x'")
    vaults = Vaults(settings, Role.APP)
    with vaults.open() as vault:
        ref = vault.put("secret", kind="k").ref
    vaults.close()
    vault_key(settings.model_copy(update={"vault_key_file": tmp_path / "other"}))
    stranger = Vaults(settings.model_copy(update={"vault_key_file": tmp_path / "other"}), Role.APP)
    with stranger.open() as vault, pytest.raises(VaultKeyWrong):
        vault.get(ref, kind="k")
    stranger.close()


def test_an_export_brings_everything_to_another_installation(settings: Settings, tmp_path: Path) -> None:
    vaults = Vaults(settings, Role.WORKER)
    with vaults.open() as vault:
        ref, sealed = vault.put("secret", kind="k", owner="ann").ref, vault.seal("user:1", "Ann")
    vaults.close()
    with psycopg.connect(settings.dsn(Role.ADMIN), autocommit=True) as connection:
        connection.execute("delete from vault.secrets where ref <> %s", (ref,))
        connection.execute("delete from vault.subject_keys where subject <> 'user:1'")
    with connect(settings, Role.WORKER, autocommit=True) as connection:
        content = exported(connection, vault_key(settings), PASSPHRASE).content
        with pytest.raises(ExportRefused):
            exported(connection, vault_key(settings), "short")
    assert b"secret" not in content
    assert b"Ann" not in content
    elsewhere = settings.model_copy(update={"vault_key_file": tmp_path / "other"})
    with psycopg.connect(settings.dsn(Role.ADMIN), autocommit=True) as connection:
        connection.execute("truncate vault.secrets, vault.subject_keys")
    key = vault_key(elsewhere)
    assert key.id != vault_key(settings).id
    with connect(settings, Role.WORKER, autocommit=True) as connection:
        for wrong, passphrase in (
            (content, PASSPHRASE + "!"),
            (b"{}", PASSPHRASE),
            (content[:-9] + b'AAAAAA"}\n', PASSPHRASE),
        ):
            with pytest.raises(ExportRefused):
                imported(connection, key, passphrase, wrong)
        assert imported(connection, key, PASSPHRASE, content) == (2, 0)
        assert imported(connection, key, PASSPHRASE, content) == (0, 2)
    opened = Vaults(elsewhere, Role.APP)
    with opened.open() as vault:
        assert vault.get(ref, kind="k", owner="ann") == "secret"
        assert vault.unseal("user:1", sealed) == "Ann"
    opened.close()
