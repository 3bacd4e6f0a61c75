"""``millstream vault``: the one thing to back up beside the log."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from api.cli.output import print_table, typed, warn
from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import load_settings
from infra.vault import Vaults
from infra.vault_export import ExportRefused, exported, imported, key_to_import_under, opened
from infra.vault_key import key_path, present_key
from infra.vault_rows import KeyRows, by_kind, forget_rows, rows_beside, rows_to_forget
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
            remedy="Put the key file back that sealed them, or import an earlier export (it replaces them; what it does not hold "
            "it lists, with the command that drops it), and export again.",
        )
    click.echo(f"The vault is in {file}. It opens with the passphrase alone: keep them apart.")


@vault.command("import", epilog="Example: millstream vault import vault-2026-11-22.json")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--new-key",
    is_flag=True,
    help="Make a new key where this machine lacks the key file and the vault holds rows of another one: who has that one opens "
    "them no longer.",
)
def import_(file: Path, new_key: bool) -> None:
    """Put what FILE holds into this installation's vault, under its own key; what that key opens already stays.

    What is left that this key does not open is listed by key and kind.
    """
    settings = load_settings()
    passphrase = _passphrase(lambda: click.prompt("Passphrase", hide_input=True, err=True))
    content = file.read_bytes()
    items = opened(content, passphrase)  # before a new key is made for it
    with connect(settings, Role.WORKER, autocommit=True, name="vault-import") as connection:
        had_key = present_key(settings) is not None
        key = key_to_import_under(connection, settings, items, new_key=new_key)
        if not had_key:
            click.echo(
                f"Made the key {key.id} in {key_path(settings)}: every machine that shares the database needs this file."
            )
        new, known = imported(connection, key, passphrase, content)
        left = rows_beside(connection, key)
    click.echo(f"{new} brought in, {known} were there already.")
    if left:
        _show_left(left)


@vault.command(epilog="Example: millstream vault forget --key 3f0c9a1be2d47758")
@click.option(
    "--key",
    "key_id",
    required=True,
    metavar="KEYID",
    help="The lost key: millstream vault import lists those that have rows.",
)
@click.option("--confirm", metavar="KEYID", help="The key's id once more; without it the id is asked for.")
def forget(key_id: str, confirm: str | None) -> None:
    """Drop for ever what a lost key has sealed, so that it can be given anew. The key of this machine is refused.

    Texts of people whose key is dropped are erased. Where any machine has that key's file still, copy it here instead.
    """
    settings = load_settings()
    with connect(settings, Role.WORKER, autocommit=True, name="vault-forget") as connection:
        present = present_key(settings)
        found = rows_to_forget(connection, key_id, present)
        if present is None:
            warn("this machine lacks the vault's key file: where another one has it, copy it here instead")
        click.echo(f"The key {key_id} has sealed {by_kind(found)}.", err=True)
        typed(key_id, confirm, "drop these rows for ever", "nothing was dropped")
        dropped = forget_rows(connection, key_id)
    click.echo(f"Rows dropped: {dropped:,}. Secrets and addresses among them have to be given again.")


def _show_left(left: Sequence[KeyRows]) -> None:
    click.echo("Sealed by other keys, and not in this export:")
    print_table(("KEY", "KIND", "ROWS"), [(one.key_id, one.kind, f"{one.rows:,}") for one in left])
    click.echo(
        "Import an export that holds them; or, where no machine has the key's file any more, drop them: "
        "millstream vault forget --key KEYID"
    )


def _passphrase(asked: Callable[[], str]) -> str:
    return os.environ.get(PASSPHRASE_VARIABLE) or asked()


commands: list[click.Command] = [vault]
