"""The folder that holds everything the embedded stack keeps: data, ports, passwords, logs, pid files."""

import json
import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import AccountRefused, DataVersionMismatch, disk_full, naming_disk_full

LAYOUT_VERSION = 1
"""Raised when the folder is arranged in a way that older or newer code cannot read."""

MINIMUM_FREE_BYTES = 600_000_000
"""A fresh database (50 MB), its first write-ahead logs (up to 1 GB later), a fresh broker and its first segments."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home folder."""

    folder: Path

    @property
    def kafka(self) -> Path:
        return self.folder / "kafka"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def run(self) -> Path:
        """Pid files."""
        return self.folder / "run"

    @property
    def stack_file(self) -> Path:
        """Endpoints and passwords for other processes, mode 600, while the stack runs."""
        return self.folder / "stack.json"

    @property
    def ports_file(self) -> Path:
        return self.folder / "ports.json"

    @property
    def version_file(self) -> Path:
        return self.folder / "version.json"

    @property
    def lock_file(self) -> Path:
        return self.folder / "owner.lock"

    @property
    def database_password_file(self) -> Path:
        return self.folder / "database-password"


def open_home(folder: Path) -> Home:
    """Make the folders (those that are new get mode 700) and say where things are.

    Raises:
        AccountRefused: the home belongs to another account.
        DiskFull: too little room for a fresh stack.
    """
    home = Home(folder.absolute())
    _require_owner(home.folder)
    with naming_disk_full(home.folder):
        home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (home.kafka, home.logs, home.run):
            path.mkdir(mode=0o700, exist_ok=True)
        ignore = home.folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")
    if not home.version_file.exists():
        require_space(home.folder, MINIMUM_FREE_BYTES)
    return home


def _require_owner(folder: Path) -> None:
    """Nothing is written into the home of another account: its owner could not go on with it."""
    owner = folder.stat().st_uid if folder.exists() else os.geteuid()
    if owner != os.geteuid():
        raise AccountRefused(
            f"{folder} belongs to {_account_name(owner)}, and this is {_account_name(os.geteuid())}",
            remedy=f"run as {_account_name(owner)}, or set MILLSTREAM_HOME to a folder of your own",
        )


def _account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise :class:`DiskFull` when the disk of this folder (or of its nearest parent that exists) has less room than needed."""
    while not folder.exists():
        folder = folder.parent
    if shutil.disk_usage(folder).free < needed_bytes:
        raise disk_full(folder, needed_bytes=needed_bytes)


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 600, whole or not at all."""
    with naming_disk_full(path.parent):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def remembered_secret(path: Path) -> str:
    """The secret in this file; a new random one is written when there is no file yet."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()


def check_version(home: Home, versions: Mapping[str, str]) -> None:
    """Compare the data's versions with ours; write ours into a fresh home.

    Args:
        versions: the major versions whose data formats differ, by server (``{"kafka": "4.4", "postgres": "18"}``).

    Raises:
        DataVersionMismatch: the data is of another version.
    """
    wanted = {"layout": str(LAYOUT_VERSION), **versions}
    if not home.version_file.exists():
        write_private(home.version_file, json.dumps(wanted, indent=1) + "\n")
        return
    try:
        found = json.loads(home.version_file.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        found = {}
    wrong = [
        f"{name} {found.get(name, 'unknown')} (this build: {version})"
        for name, version in wanted.items()
        if found.get(name) != version
    ]
    if wrong:
        raise DataVersionMismatch(
            f"the data in {home.folder} is of another version: {', '.join(wrong)}",
            remedy=f"run the build that made it, or start afresh: mv {home.folder} {home.folder}-old",
        )
