"""Who PostgreSQL runs as. It refuses to be root, and we change neither modes nor owners of folders that are not ours.

* Not root: as ourselves.
* Root: in a user namespace of its own, in which root looks like an unprivileged account. Its files stay root's.
* Root where namespaces are refused: as the machine's unprivileged account, with binaries and data in a folder of ours in the
  system's temporary space (the home may lie below a folder that only root may enter). The home remembers which.
"""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.children import UserChange, launch_command
from infra.embedded.errors import AccountRefused, naming_disk_full
from infra.embedded.home import Home, write_private

_PREFERRED_IN_NAMESPACE = (1000,)
_UNPRIVILEGED_NAMES = ("nobody", "daemon")
_PROBE_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """Where PostgreSQL's programs and data are, and who runs them."""

    installation: Path
    """Holds ``bin``, ``lib`` and ``share``."""
    data: Path
    user: UserChange | None


def choose_place(
    home: Home, installation: Path, *, try_namespace: Callable[[UserChange, Path], bool] | None = None
) -> PostgresPlace:
    """Decide, or recall, how PostgreSQL runs in this home.

    Args:
        installation: the wheel's ``pginstall``.
        try_namespace: whether a program started in that namespace can use the folder (really tried by default).

    Raises:
        AccountRefused: root finds no unprivileged way.
        DiskFull: no room for the copy of the binaries.
    """
    inside = home.postgres / "data"
    if os.geteuid() != 0:
        return PostgresPlace(installation, inside, None)
    outside = _remembered_folder(home)
    if outside is None:
        user = namespace_user()
        if (try_namespace or namespace_works)(user, home.folder):
            return PostgresPlace(installation, inside, user)
        if (inside / "PG_VERSION").exists():
            raise AccountRefused(
                f"the database in {inside} was made in a user namespace, and this machine refuses one now",
                remedy=f"allow user namespaces for root again, or start afresh: mv {home.folder} {home.folder}-old",
            )
        outside = _make_folder(home)
    return _outside_place(outside, installation)


def namespace_works(user: UserChange, folder: Path) -> bool:
    """Whether a program in a user namespace of its own can write into this folder."""
    probe = launch_command(
        ("/bin/sh", "-c", 'test -w "$1" && test -x "$1"', "sh", str(folder)), death_signal=9, user=user
    )
    try:
        result = subprocess.run(
            probe, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def namespace_user() -> UserChange:
    """An account that exists (initdb looks its name up) and is not root."""
    for uid in _PREFERRED_IN_NAMESPACE:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            continue
        return UserChange(uid=entry.pw_uid, gid=entry.pw_gid, namespace=True)
    entry = _unprivileged_account()
    return UserChange(uid=entry.pw_uid, gid=entry.pw_gid, namespace=True)


def _unprivileged_account() -> pwd.struct_passwd:
    for name in _UNPRIVILEGED_NAMES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return entry
    raise AccountRefused(
        "PostgreSQL refuses to run as root, and this machine has no other account",
        remedy="add one (useradd --system millstream), or run as an ordinary user",
    )


def _memory(home: Home) -> Path:
    return home.folder / "postgres-place.json"


def _remembered_folder(home: Home) -> Path | None:
    path = _memory(home)
    if not path.exists():
        return None
    folder = Path(json.loads(path.read_text(encoding="utf-8"))["folder"])
    # A machine may empty its temporary space: the tables are built again from the log, in a new folder.
    return folder if folder.is_dir() and folder.stat().st_uid == _unprivileged_account().pw_uid else None


def _make_folder(home: Home) -> Path:
    space = Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else Path(tempfile.gettempdir())
    with naming_disk_full(space):
        folder = Path(tempfile.mkdtemp(prefix="millstream-postgres-", dir=space))
    account = _unprivileged_account()
    os.chown(folder, account.pw_uid, account.pw_gid)
    write_private(_memory(home), json.dumps({"folder": str(folder)}) + "\n")
    return folder


def _outside_place(folder: Path, installation: Path) -> PostgresPlace:
    account = _unprivileged_account()
    copy = folder / "installation"
    # The binaries look for the libraries of their wheel by the relative path that they have in site-packages.
    libraries = installation.parent.with_name(installation.parent.name + ".libs")
    inside = copy / installation.parent.name / installation.name
    if not (copy / "complete").exists():
        with naming_disk_full(folder):
            shutil.rmtree(copy, ignore_errors=True)
            inside.mkdir(parents=True)
            for part in ("bin", "lib", "share"):
                shutil.copytree(installation / part, inside / part, symlinks=True)
            if libraries.is_dir():
                shutil.copytree(libraries, copy / libraries.name, symlinks=True)
            for path in (copy, inside.parent, inside):
                path.chmod(0o755)
            (copy / "complete").touch()
    return PostgresPlace(
        inside, folder / "data", UserChange(uid=account.pw_uid, gid=account.pw_gid, namespace=False)
    )
