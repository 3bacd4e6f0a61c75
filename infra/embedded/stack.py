"""Start, join and find the embedded stack: one Kafka, one PostgreSQL, one home folder.

``start`` runs both as children of the calling process; they end with it, however it ends. A second start in the same home joins
the first. Other processes find the servers through ``stack.json``, which is believed only while both processes really live.
"""

import fcntl
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from infra.embedded import class_cache, kafka, postgres
from infra.embedded.account import choose_place
from infra.embedded.children import stop_orphans
from infra.embedded.errors import ChildFailed, StackError
from infra.embedded.home import (
    Home,
    check_version,
    open_home,
    remembered_secret,
    write_private,
)
from infra.embedded.jars import ensure_jars, locked_version
from infra.embedded.java import find_java
from infra.embedded.machine import check_this_platform
from infra.embedded.ports import LOOPBACK, choose_port, require_free
from infra.embedded.processes import ProcessRef, own_ref
from infra.embedded.supervisor import ChildState, ChildStatus, Supervisor

DEFAULT_KAFKA_HEAP_MB = 384
_JOIN_TIMEOUT_S = 150.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a running stack is reached. ``database_url`` holds the superuser's password: never print it."""

    kafka_bootstrap: str
    database_url: str
    kafka: ProcessRef
    postgres: ProcessRef
    owner: ProcessRef
    """The process that supervises both."""
    download_s: float
    """Seconds spent on downloads by the start that made it."""
    start_s: float
    """Seconds of that start, downloads not counted."""

    @property
    def kafka_pid(self) -> int:
        return self.kafka.pid

    @property
    def postgres_pid(self) -> int:
        return self.postgres.pid

    def alive(self) -> bool:
        """Whether both servers run now."""
        return self.kafka.alive() and self.postgres.alive()


def read_endpoints(home: Path) -> Endpoints | None:
    """The endpoints of the stack that runs in this home; None when none does (pids and start times are checked)."""
    try:
        found = json.loads(Home(home.absolute()).stack_file.read_text(encoding="utf-8"))
        endpoints = Endpoints(
            kafka_bootstrap=str(found["kafka_bootstrap"]),
            database_url=str(found["database_url"]),
            kafka=ProcessRef(**found["kafka"]),
            postgres=ProcessRef(**found["postgres"]),
            owner=ProcessRef(**found["owner"]),
            download_s=float(found["download_s"]),
            start_s=float(found["start_s"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return endpoints if endpoints.alive() else None


class RunningStack:
    """A stack that this process started (it stops it) or joined (it leaves it running)."""

    def __init__(
        self,
        home: Home,
        endpoints: Endpoints,
        supervisor: Supervisor | None = None,
        lock: IO[str] | None = None,
        when_stopped: Callable[[], object] = lambda: None,
    ) -> None:
        self.home = home
        self.endpoints = endpoints
        self._supervisor = supervisor
        self._lock = lock
        self._when_stopped = when_stopped

    @property
    def joined(self) -> bool:
        """Whether another process, or an earlier start of this one, owns the servers."""
        return self._supervisor is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop both servers, Kafka last; nothing for a stack that was joined. May be called again."""
        if self._supervisor is not None:
            self._supervisor.stop()
            self.home.stack_file.unlink(missing_ok=True)
            self._when_stopped()
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the stack is stopping; False when the time ran out first. Raises ChildFailed when a server is gone for good."""
        if self._supervisor is not None:
            return self._supervisor.wait(timeout_s)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while read_endpoints(self.home.folder) is not None:
            if deadline is not None and time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def start(
    home: Path,
    *,
    report: Callable[[str], None],
    kafka_heap_mb: int = DEFAULT_KAFKA_HEAP_MB,
) -> RunningStack:
    """Start the stack of this home, or join the one that runs there.

    Args:
        home: the folder of data, made when it is not there.
        report: gets what a person wants to know, in plain lines.
        kafka_heap_mb: the broker's largest Java heap, in MiB.

    Raises:
        schemas.errors.MillstreamError: with the remedy in one line (see :mod:`infra.embedded.errors`).
    """
    check_this_platform()
    place = open_home(home)
    lock = _own_or_join(place, report)
    if isinstance(lock, Endpoints):
        return RunningStack(place, lock)
    try:
        return _start_owned(place, lock, report, kafka_heap_mb)
    except BaseException:
        lock.truncate(0)
        lock.close()
        raise


def _own_or_join(home: Home, report: Callable[[str], None]) -> "IO[str] | Endpoints":
    """The lock of this home, or the endpoints of the stack whose owner holds it."""
    lock = home.lock_file.open("a+")
    deadline = time.monotonic() + _JOIN_TIMEOUT_S
    said = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sign(lock)
            return lock
        except BlockingIOError:
            endpoints = read_endpoints(home.folder)
        if endpoints is not None:
            lock.close()
            report(f"Joining the stack that runs in {home.folder}")
            return endpoints
        if time.monotonic() > deadline:
            lock.close()
            raise StackError(
                f"another process starts or stops a stack in {home.folder} and does not finish",
                remedy="millstream stack stop, then try again; or set MILLSTREAM_HOME to another folder",
            )
        if not said:
            said = True
            report(f"Waiting for another process that starts or stops the stack in {home.folder}")
        time.sleep(_POLL_S)


def _sign(lock: IO[str]) -> None:
    """Write into the lock file who holds it, so that ``stack stop`` finds a start that is not through yet."""
    lock.truncate(0)
    lock.write(json.dumps(asdict(own_ref())))
    lock.flush()


def read_owner(home: Path) -> ProcessRef | None:
    """The process that starts, runs or stops the stack of this home; None when none does."""
    try:
        found = json.loads(Home(home.absolute()).lock_file.read_text(encoding="utf-8"))
        owner = ProcessRef(int(found["pid"]), int(found["start_ticks"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return owner if owner.alive() else None


def _start_owned(
    home: Home, lock: IO[str], report: Callable[[str], None], kafka_heap_mb: int
) -> RunningStack:
    began = time.monotonic()
    home.stack_file.unlink(missing_ok=True)
    check_version(
        home, {"kafka": _major_minor(locked_version("kafka_2.13")), "postgres": postgres.POSTGRES_MAJOR}
    )
    for name in stop_orphans(home.run):
        report(f"Stopped {name}, left over by a start that crashed")
    installation = postgres.find_installation()
    java = find_java()
    jars = ensure_jars(report)

    ports = {name: choose_port(home, name) for name in ("kafka", "kafka controller", "postgres")}
    for name, port in ports.items():
        require_free(home, name, port)
    password = remembered_secret(home.database_password_file)
    place = choose_place(home, installation)
    report("Starting Apache Kafka and PostgreSQL")
    properties = kafka.server_properties(port=ports["kafka"], controller_port=ports["kafka controller"])
    with ThreadPoolExecutor(2, thread_name_prefix="prepare") as pool:  # both take a second, the first time
        for future in (
            pool.submit(kafka.prepare, home.kafka, java, jars.paths, properties),
            pool.submit(postgres.prepare, place, password),
        ):
            future.result()

    publisher = _Publisher(home)
    supervisor = Supervisor(
        [
            kafka.kafka_child(home.kafka, java, jars.paths, port=ports["kafka"], heap_mb=kafka_heap_mb),
            postgres.postgres_child(place, port=ports["postgres"], password=password),
        ],
        logs=home.logs,
        run=home.run,
        on_change=publisher.on_change,
    )
    supervisor.start()
    try:
        postgres.ensure_database(ports["postgres"], password)
        refs = {status.name: status.process for status in supervisor.status()}
        kafka_ref, postgres_ref = refs["kafka"], refs["postgres"]
        if kafka_ref is None or postgres_ref is None:
            raise ChildFailed("a server ended just after its start", remedy=f"see {home.logs}")
        endpoints = Endpoints(
            kafka_bootstrap=f"{LOOPBACK}:{ports['kafka']}",
            database_url=postgres.admin_url(ports["postgres"], password),
            kafka=kafka_ref,
            postgres=postgres_ref,
            owner=own_ref(),
            download_s=round(jars.download_s, 3),
            start_s=round(time.monotonic() - began - jars.download_s, 3),
        )
        publisher.publish(endpoints)
    except BaseException:
        supervisor.stop()
        raise

    def keep_classes() -> None:
        codes = {status.name: status.last_exit_code for status in supervisor.status()}
        class_cache.keep(java, jars.paths, kafka.scratch_folder(home.kafka), codes["kafka"])

    return RunningStack(home, endpoints, supervisor, lock, when_stopped=keep_classes)


class _Publisher:
    """Keeps ``stack.json`` true when a server had to be started again."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._endpoints: Endpoints | None = None

    def publish(self, endpoints: Endpoints) -> None:
        with self._lock:
            self._endpoints = endpoints
            write_private(self._home.stack_file, json.dumps(asdict(endpoints), indent=1) + "\n")

    def on_change(self, status: ChildStatus) -> None:
        if status.state is not ChildState.READY or status.process is None or self._endpoints is None:
            return
        if status.name == "kafka":
            self.publish(replace(self._endpoints, kafka=status.process))
        elif status.name == "postgres":
            self.publish(replace(self._endpoints, postgres=status.process))


def _major_minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
