"""The key of the vault: what it seals opens with it alone, and what follows from it tells nothing."""

import time
from pathlib import Path

import pytest

from infra.secret_file import SecretExposed
from infra.settings import Settings
from infra.vault_key import KEY_FILE, KeyFile, VaultKey, VaultKeyWrong, present_key, vault_key

NONCE = b"n" * 12
LATER_NS = 10_000_000_000
"""As much later as makes a stamp of a file settled."""


def test_a_file_of_mode_600_is_made_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    first = vault_key(settings)
    file = tmp_path / "secrets" / "vault-key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert vault_key(settings).id == first.id
    assert first.id not in file.read_text()
    file.chmod(0o640)
    with pytest.raises(SecretExposed):
        vault_key(settings)


def test_the_setting_names_another_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, vault_key_file=tmp_path / "elsewhere")
    vault_key(settings)
    assert (tmp_path / "elsewhere").exists()
    (tmp_path / "elsewhere").write_text("short\n")
    with pytest.raises(VaultKeyWrong):
        vault_key(settings)


def test_what_was_sealed_opens_under_its_own_name_and_key_alone() -> None:
    key, other = VaultKey(b"k" * 32), VaultKey(b"o" * 32)
    sealed = key.seal(b"hooks.example/T1", nonce=NONCE, about="slack:1")
    assert key.open(sealed, nonce=NONCE, about="slack:1") == b"hooks.example/T1"
    assert b"hooks" not in sealed
    for opener, about in ((other, "slack:1"), (key, "slack:2")):
        with pytest.raises(VaultKeyWrong) as caught:
            opener.open(sealed, nonce=NONCE, about=about)
        assert "vault" in caught.value.remedy


def test_digests_agree_for_one_key_and_are_bounded_by_their_parts() -> None:
    key = VaultKey(b"k" * 32)
    assert key.digest("a", "b") == VaultKey(b"k" * 32).digest("a", "b")
    assert len({key.digest("a", "b"), key.digest("ab"), VaultKey(b"o" * 32).digest("a", "b")}) == 3


def id_of(key: VaultKey | None) -> str | None:
    return None if key is None else key.id


@pytest.mark.parametrize("later_ns", [0, LATER_NS])
def test_the_key_is_the_one_that_its_file_has_now(tmp_path: Path, later_ns: int) -> None:
    settings = Settings(home=tmp_path)
    file, kept = settings.secrets_folder / KEY_FILE, KeyFile(settings)

    def now() -> str | None:
        return id_of(kept.key(time.time_ns() + later_ns))

    assert now() is None
    assert not file.exists(), "looking makes none"
    first = vault_key(settings)
    assert now() == now() == first.id
    moved = file.rename(tmp_path / "moved")
    assert now() is None
    second = vault_key(settings)
    assert now() == second.id != first.id
    moved.replace(file)
    assert now() == first.id == id_of(present_key(settings))
    short = tmp_path / "short"
    short.write_text("short\n")
    short.chmod(0o600)
    short.replace(file)
    with pytest.raises(VaultKeyWrong):
        now()
    file.chmod(0o644)
    with pytest.raises(SecretExposed):
        now()


def test_a_file_that_stays_is_read_once(tmp_path: Path) -> None:
    kept = KeyFile(settings := Settings(home=tmp_path))
    vault_key(settings)
    settled_ns = time.time_ns() + LATER_NS
    assert kept.key(settled_ns) is kept.key(settled_ns)
    assert kept.key(settled_ns) is not None
