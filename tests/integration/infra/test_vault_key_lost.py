"""A vault whose key file was lost: what it still does, what it refuses, and how an export brings it back."""

from collections.abc import Callable, Iterator
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


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``millstream vault`` with these words, on the machine whose home ``settings`` names."""
    monkeypatch.setenv("MILLSTREAM_HOME", str(settings.home))
    monkeypatch.setenv("MILLSTREAM_DATABASE_URL", settings.database_url.get_secret_value())

    def command(*words: str, passphrase: str = PASSPHRASE) -> Result:
        return CliRunner().invoke(cli, ["vault", *words], env={"MILLSTREAM_VAULT_PASSPHRASE": passphrase})

    return command


def test_the_commands_make_a_new_key_for_an_import_that_opens_and_for_nothing_else(
    settings: Settings, vaults: Vaults, run: Callable[..., Result], tmp_path: Path
) -> None:
    key, file = settings.secrets_folder / KEY_FILE, str(tmp_path / "vault.json")
    with vaults.open() as vault:
        vault.put("secret", kind="k")
    assert run("export", file).exit_code == 0
    key.unlink()
    assert run("export", file + "2").exit_code == 1
    assert run("import", file, "--new-key", passphrase=PASSPHRASE + "!").exit_code == 1
    assert not key.exists()
    done = run("import", file, "--new-key")
    assert "1 brought in" in done.output
    assert "every machine that shares the database needs this file" in done.output
    assert key.exists()
    key.unlink()
    vault_key(settings)
    partial = run("export", file + "3")
    assert partial.exit_code == 1
    assert isinstance(partial.exception, SystemExit | MillstreamError)
    assert (tmp_path / "vault.json3").exists()


def test_an_import_where_the_key_file_is_merely_lacking_locks_out_nobody(
    settings: Settings, vaults: Vaults, run: Callable[..., Result], tmp_path: Path
) -> None:
    key, file = settings.secrets_folder / KEY_FILE, str(tmp_path / "vault.json")
    with vaults.open() as vault:
        ref, _ = vault.put("secret", kind="k").ref, vault.seal("user:1", "Ann")
    assert run("export", file).exit_code == 0
    with vaults.open() as vault:
        vault.put("put since", kind="k")
    of_the_others = vaults.key.id
    elsewhere = key.rename(tmp_path / "of-another-machine")
    refused = run("import", file)
    assert refused.exit_code == 1
    assert f"replace 2 of the 3 rows of the key {of_the_others}" in refused.output
    assert str(key) in refused.output
    assert "Copy the key file of another machine" in refused.output
    assert "--new-key" in refused.output
    assert not key.exists()
    elsewhere.rename(key)
    assert "0 brought in, 2 were there already." in run("import", file).output
    with vaults.open() as vault:
        assert vault.get(ref, kind="k") == "secret"


def test_what_no_export_holds_of_a_lost_key_is_listed_and_dropped_by_a_command(
    settings: Settings, vaults: Vaults, run: Callable[..., Result], tmp_path: Path
) -> None:
    file = str(tmp_path / "vault.json")
    with vaults.open() as vault:
        held = vault.seal("user:1", "Ann")
    assert run("export", file).exit_code == 0
    with vaults.open() as vault:
        gone, sealed = vault.put("bob@example.com", kind="email").ref, vault.seal("user:2", "Bob")
    lost = vaults.key.id
    lose_key(settings)
    listed = run("import", file, "--new-key").output
    assert f"{lost}  email        1" in listed
    assert f"{lost}  subject-key  1" in listed
    assert "millstream vault forget --key KEYID" in listed
    with vaults.open() as vault, pytest.raises(VaultKeyWrong):
        vault.seal("user:2", "Bob")

    for key_id, typed, error in (
        (lost, "y", "nothing was dropped"),
        (vaults.key.id, vaults.key.id, "is the key of this machine"),
        ("0" * 16, "0" * 16, "holds nothing"),
    ):
        refused = run("forget", "--key", key_id, "--confirm", typed)
        assert refused.exit_code == 1
        assert error in refused.output
    with vaults.open() as vault, pytest.raises(VaultKeyWrong):
        vault.get(gone, kind="email")

    done = run("forget", "--key", lost, "--confirm", lost)
    assert f"The key {lost} has sealed 1 email, 1 subject-key." in done.output
    assert "Rows dropped: 2." in done.output
    with vaults.open() as vault:
        renamed = vault.seal("user:2", "Robert")
        assert vault.unseal_all({"user:1": held, "user:2": renamed}) == {"user:1": "Ann", "user:2": "Robert"}
        assert vault.unseal("user:2", sealed) is None
        with pytest.raises(SecretMissing):
            vault.get(gone, kind="email")
    assert "Sealed by other keys" not in run("import", file).output
