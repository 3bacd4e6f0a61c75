"""A vault whose key file was lost: what it still does, what it refuses, and how an export brings it back."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from api.cli.main import cli
from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault import SecretMissing, Vaults
from infra.vault_export import exported, imported
from infra.vault_key import KEY_FILE, VaultKeyWrong, vault_key
from schemas.errors import MillstreamError
from tests.support.projecting import settings_for

PASSPHRASE = "correct horse battery"


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    made = settings_for(database, tmp_path)
    with psycopg.connect(made.dsn(Role.ADMIN), autocommit=True) as connection:
        connection.execute("truncate vault.secrets, vault.subject_keys")
    return made


@pytest.fixture
def vaults(settings: Settings) -> Iterator[Vaults]:
    made = Vaults(settings, Role.WORKER)
    yield made
    made.close()


def lose_key(settings: Settings) -> None:
    (settings.secrets_folder / KEY_FILE).unlink()


@pytest.fixture
def later(settings: Settings) -> Iterator[Vaults]:
    """What another process has, which reads the key file for the first time."""
    made = Vaults(settings, Role.APP)
    yield made
    made.close()


def test_no_key_is_made_beside_what_another_has_sealed_nor_held_longer_than_its_file(
    settings: Settings, vaults: Vaults, later: Vaults
) -> None:
    with vaults.open() as vault:
        vault.put("secret", kind="k")
    lost = vaults.key.id
    lose_key(settings)
    for process in (vaults, later):
        with pytest.raises(VaultKeyWrong, match="key file is missing") as caught, process.open():
            pass
        assert "vault import FILE --new-key" in caught.value.remedy
        with pytest.raises(VaultKeyWrong):
            process.key.digest("x")
    assert not (settings.secrets_folder / KEY_FILE).exists()
    with connect(settings, Role.WORKER, autocommit=True) as connection:
        connection.execute("delete from vault.secrets")
    for process in (vaults, later):
        with process.open() as vault:
            assert vault.get(vault.put("secret", kind="k").ref, kind="k") == "secret"
    assert vaults.key.id == later.key.id != lost


def test_who_ran_before_the_loss_seals_with_the_key_that_came_after_it(
    settings: Settings, vaults: Vaults, later: Vaults
) -> None:
    with vaults.open() as vault:
        before = vault.put("before", kind="k").ref
    held = vaults.key.id
    with connect(settings, Role.WORKER, autocommit=True) as connection:
        content = exported(connection, vault_key(settings), PASSPHRASE).content
        lose_key(settings)
        assert imported(connection, vault_key(settings), PASSPHRASE, content) == (1, 0)
    with vaults.open() as vault:
        assert vault.get(before, kind="k") == "before"
        after = vault.put("after", kind="k").ref
    assert vaults.key.id == later.key.id != held
    with later.open() as vault:
        assert vault.get_all([before, after], kind="k") == {before: "before", after: "after"}


def test_an_import_brings_back_what_the_lost_key_had_sealed(
    settings: Settings, vaults: Vaults, later: Vaults
) -> None:
    with vaults.open() as vault:
        ref, sealed = vault.put("secret", kind="k", owner="ann").ref, vault.seal("user:1", "Ann")
        since = vault.put("put since the export", kind="k").ref
    with connect(settings, Role.WORKER, autocommit=True) as connection:
        content = exported(connection, vault_key(settings), PASSPHRASE).content
        connection.execute("delete from vault.secrets where ref = %s", (since,))
    with vaults.open() as vault:
        lost = vault.put("lost for ever", kind="k").ref
    lose_key(settings)
    with connect(settings, Role.WORKER, autocommit=True) as connection:
        key = vault_key(settings)  # an import is the explicit act by which a new key may come
        assert imported(connection, key, PASSPHRASE, content) == (3, 0)
        assert imported(connection, key, PASSPHRASE, content) == (0, 3)
    with later.open() as vault:
        assert vault.get(ref, kind="k", owner="ann") == "secret"
        assert vault.unseal("user:1", sealed) == "Ann"
        assert vault.get(since, kind="k") == "put since the export"
        with pytest.raises(VaultKeyWrong):
            vault.get(lost, kind="k")


def test_one_row_that_does_not_open_takes_no_other_with_it(
    settings: Settings, vaults: Vaults, later: Vaults
) -> None:
    with vaults.open() as vault:
        broken, sealed = vault.put("a", kind="k").ref, vault.seal("user:1", "Ann")
    lose_key(settings)
    vault_key(settings)
    with later.open() as vault:
        good, other = vault.put("b", kind="k").ref, vault.seal("user:2", "Bob")
        assert vault.get_all([broken, good], kind="k") == {good: "b"}
        assert vault.unseal_all({"user:1": sealed, "user:2": other}) == {"user:2": "Bob"}
        with pytest.raises(VaultKeyWrong):
            vault.get(broken, kind="k")
        with pytest.raises(VaultKeyWrong):
            vault.seal("user:1", "Ann")
        with pytest.raises(SecretMissing):
            vault.get("k:nothing", kind="k")
    with connect(settings, Role.WORKER, autocommit=True) as connection:
        left = exported(connection, vault_key(settings), PASSPHRASE)
        assert (left.items, left.unopened) == (2, 2)
        connection.execute("delete from vault.secrets")
        connection.execute("delete from vault.subject_keys")
        assert imported(connection, vault_key(settings), PASSPHRASE, left.content) == (2, 0)


def test_the_commands_make_a_new_key_for_an_import_that_opens_and_for_nothing_else(
    settings: Settings, vaults: Vaults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_HOME", str(settings.home))
    monkeypatch.setenv("MILLSTREAM_DATABASE_URL", settings.database_url.get_secret_value())
    key, file = settings.secrets_folder / KEY_FILE, str(tmp_path / "vault.json")

    def run(*words: str, passphrase: str = PASSPHRASE) -> Result:
        return CliRunner().invoke(cli, ["vault", *words], env={"MILLSTREAM_VAULT_PASSPHRASE": passphrase})

    with vaults.open() as vault:
        vault.put("secret", kind="k")
    assert run("export", file).exit_code == 0
    key.unlink()
    assert run("export", file + "2").exit_code == 1
    assert run("import", file, passphrase=PASSPHRASE + "!").exit_code == 1
    assert not key.exists()
    assert "1 brought in" in run("import", file).output
    assert key.exists()
    key.unlink()
    vault_key(settings)
    partial = run("export", file + "3")
    assert partial.exit_code == 1
    assert isinstance(partial.exception, SystemExit | MillstreamError)
    assert (tmp_path / "vault.json3").exists()
