"""The key of the vault: what it seals opens with it alone, and what follows from it tells nothing."""

from pathlib import Path

import pytest

from infra.secret_file import SecretExposed
from infra.settings import Settings
from infra.vault_key import VaultKey, VaultKeyWrong, vault_key

NONCE = b"n" * 12


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
