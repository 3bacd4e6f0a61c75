"""``millstream vault``: the one thing to back up beside the log."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import load_settings
from infra.vault import Vaults
from infra.vault_export import ExportRefused, exported, imported, opened
from infra.vault_key import vault_key
from schemas.errors import MillstreamError

PASSPHRASE_VARIABLE: Final = "MILLSTREAM_VAULT_PASSPHRASE"


class ExportIncomplete(MillstreamError):
    """The file is written, and something is not in it."""


@click.group(epilog="Example: millstream vault export vault.json")
def vault() -> None:
    """Back up secrets and the keys of personal data, and bring them back."""


@vault.command(epilog=f"Example: {PASSPHRASE_VARIABLE}=... millstream vault export vault-$(date +%F).json")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(file: Path) -> None:
    """Write the whole vault into FILE, encrypted under a passphrase."""
    settings = load_settings()
    passphrase = _passphrase(
        lambda: click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    )
    vaults = Vaults(settings, Role.WORKER)
    try:
        key = vaults.key  # which makes none where one was lost
    finally:
        vaults.close()
    with connect(settings, Role.WORKER, autocommit=True, name="vault-export") as connection:
        found = exported(connection, key, passphrase)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ExportRefused(f"{file} is there already", remedy="Name a new file.") from error
    except OSError as error:
        raise ExportRefused(
            f"{file} cannot be written: {error.strerror}", remedy="Name a file in a folder of yours."
        ) from error
    with os.fdopen(handle, "wb") as written:
        written.write(found.content)
    if found.unopened:
        raise ExportIncomplete(
            f"{found.items:,} rows are in {file}; {found.unopened:,} are not, since the key file does not open them",
            remedy="Put the key file back that sealed them, or import an earlier export (it replaces them), and export again.",
        )
    click.echo(f"The vault is in {file}. It opens with the passphrase alone: keep them apart.")


@vault.command("import", epilog="Example: millstream vault import vault-2026-11-22.json")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def import_(file: Path) -> None:
    """Put what FILE holds into this installation's vault, under its own key; what that key opens already stays."""
    settings = load_settings()
    passphrase = _passphrase(lambda: click.prompt("Passphrase", hide_input=True, err=True))
    content = file.read_bytes()
    opened(content, passphrase)  # before a new key is made for it
    with connect(settings, Role.WORKER, autocommit=True, name="vault-import") as connection:
        new, known = imported(connection, vault_key(settings), passphrase, content)
    click.echo(f"{new} brought in, {known} were there already.")


def _passphrase(asked: Callable[[], str]) -> str:
    return os.environ.get(PASSPHRASE_VARIABLE) or asked()


commands: list[click.Command] = [vault]
