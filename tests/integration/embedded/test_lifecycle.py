"""Starting, joining, crashing, restarting and refusing: real servers in homes of their own."""

import contextlib
import itertools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from infra.embedded import account, background
from infra.embedded.errors import (
    AccountRefused,
    ChildFailed,
    DataVersionMismatch,
    DiskFull,
    NotRunning,
    PortTaken,
)
from infra.embedded.home import Home
from infra.embedded.ports import remembered_ports
from infra.embedded.postgres import find_installation
from infra.embedded.processes import descendants, process_ref
from infra.embedded.stack import Endpoints, RunningStack, read_endpoints, read_owner, start
from tests.stack import new_home

AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root meets this: run the tests as root to see it"
)

T = TypeVar("T")


def eventually(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def home() -> Iterator[Path]:
    folder = new_home() / "a home, with ünusual letters"
    yield folder
    subprocess.run(["rm", "-rf", str(folder.parent)], check=True)


def quiet(_line: str) -> None:
    """A report that nobody reads."""


def write_one(endpoints: Endpoints) -> None:
    """Leave a record on the log and a row in the database."""
    admin = AdminClient({"bootstrap.servers": endpoints.kafka_bootstrap})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
    producer = Producer({"bootstrap.servers": endpoints.kafka_bootstrap, "acks": "all"})
    producer.produce("kept", key=b"k", value=b"on the log", partition=0)
    assert producer.flush(20) == 0
    with psycopg.connect(endpoints.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'in the table' AS value")


def read_one(endpoints: Endpoints) -> tuple[bytes | None, str]:
    """What :func:`write_one` left."""
    consumer = Consumer(
        {"bootstrap.servers": endpoints.kafka_bootstrap, "group.id": "reader", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition("kept", 0, 0)])
    try:
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        value = message.value()
    finally:
        consumer.close()
    with psycopg.connect(endpoints.database_url) as connection:
        row = connection.execute("SELECT value FROM kept").fetchone()
    assert row is not None
    return value, row[0]


def test_data_and_ports_outlive_a_stop_and_the_second_start_joins(home: Path) -> None:
    said: list[str] = []
    with start(home, report=said.append) as first:
        write_one(first.endpoints)
        assert read_endpoints(home) == first.endpoints
        assert stat.S_IMODE((home / "stack.json").stat().st_mode) == 0o600
        with start(home, report=said.append) as second:
            assert second.joined
            assert second.endpoints == first.endpoints
        assert first.endpoints.alive()
        assert read_owner(home) == first.endpoints.owner
    assert read_endpoints(home) is None
    assert read_owner(home) is None
    assert not (home / "stack.json").exists()
    assert not first.endpoints.kafka.alive()
    assert not first.endpoints.postgres.alive()
    assert f"Joining the stack that runs in {home}" in said
    with start(home, report=quiet) as again:
        assert again.endpoints.kafka_bootstrap == first.endpoints.kafka_bootstrap
        assert again.endpoints.database_url == first.endpoints.database_url
        assert read_one(again.endpoints) == (b"on the log", "in the table")


def _start_in_another_process(home: Path) -> tuple[subprocess.Popen[str], Endpoints]:
    program = """
import sys
from pathlib import Path
from infra.embedded.stack import start
stack = start(Path(sys.argv[1]), report=lambda line: None)
print("up", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    endpoints = read_endpoints(home)
    assert endpoints is not None
    return process, endpoints


def test_after_a_supervisor_was_killed_its_servers_end_and_the_next_start_finds_everything(
    home: Path,
) -> None:
    process, crashed = _start_in_another_process(home)
    write_one(crashed)
    process.kill()
    process.communicate()
    eventually(lambda: not crashed.kafka.alive() and not crashed.postgres.alive())
    assert read_endpoints(home) is None
    with start(home, report=quiet) as stack:
        assert read_one(stack.endpoints) == (b"on the log", "in the table")


def test_servers_that_hang_after_a_crash_are_ended_by_the_next_start(home: Path) -> None:
    process, crashed = _start_in_another_process(home)
    write_one(crashed)
    # Stopped processes do not take the parent-death signal: what a crash leaves on a machine that is out of breath.
    for ref in (crashed.kafka, crashed.postgres):
        assert ref.signal(signal.SIGSTOP)
    process.kill()
    process.communicate()
    assert crashed.alive()
    said: list[str] = []
    with start(home, report=said.append) as stack:
        assert not crashed.kafka.alive()
        assert not crashed.postgres.alive()
        assert read_one(stack.endpoints) == (b"on the log", "in the table")
    assert "Stopped kafka, left over by a start that crashed" in said
    assert "Stopped postgres, left over by a start that crashed" in said


def test_a_server_that_dies_is_started_again_and_the_endpoints_say_so(home: Path) -> None:
    with start(home, report=quiet) as stack:
        write_one(stack.endpoints)
        for name in ("kafka", "postgres"):
            before = read_endpoints(home)
            assert before is not None
            assert getattr(before, name).signal(signal.SIGKILL)
            eventually(lambda name=name, before=before: _replaced(home, name, before))  # type: ignore[misc]
        now = read_endpoints(home)
        assert now is not None
        assert now.kafka_bootstrap == stack.endpoints.kafka_bootstrap
        assert read_one(now) == (b"on the log", "in the table")


def _replaced(home: Path, name: str, before: Endpoints) -> bool:
    now = read_endpoints(home)
    return now is not None and getattr(now, name) != getattr(before, name)


def test_data_of_another_version_is_refused(home: Path) -> None:
    home.mkdir()
    Home(home).version_file.write_text(json.dumps({"layout": "1", "kafka": "3.9", "postgres": "18"}))
    with pytest.raises(DataVersionMismatch, match=r"kafka 3\.9 \(this build: 4\.4\)"):
        start(home, report=quiet)
    assert read_owner(home) is None


def test_a_database_of_another_version_is_refused(home: Path) -> None:
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(DataVersionMismatch, match="PostgreSQL 17"):
        start(home, report=quiet)


def test_a_taken_port_is_named_and_nothing_is_left_running(home: Path) -> None:
    with start(home, report=quiet) as stack:
        port = int(stack.endpoints.kafka_bootstrap.rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(PortTaken, match=rf"port {port} of kafka is taken .*pid {os.getpid()}") as caught:
            start(home, report=quiet)
        assert "ports.json" in caught.value.remedy
    assert list((home / "run").glob("*.pid")) == []


def test_a_database_whose_making_was_cut_short_is_made_again(home: Path) -> None:
    unfinished = home / "postgres" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with start(home, report=quiet) as stack:
        write_one(stack.endpoints)
    assert not unfinished.exists()


def test_a_database_that_cannot_be_made_is_said_with_its_remedy(home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "data").symlink_to("/none/such")
    (home / "postgres" / "data.unfinished").symlink_to("/none/such")
    with pytest.raises(ChildFailed, match="could not be made") as caught:
        start(home, report=quiet)
    assert "writable" in caught.value.remedy


@AS_ROOT
def test_a_disk_that_is_full_is_said_before_and_during_the_work(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(home)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount")
    try:
        with pytest.raises(DiskFull, match="600 MB are needed"):
            start(home, report=quiet)
        monkeypatch.setattr("infra.embedded.home.MINIMUM_FREE_BYTES", 0)
        with pytest.raises(DiskFull, match="no space left") as caught:
            start(home, report=quiet)
        assert "MILLSTREAM_HOME" in caught.value.remedy
    finally:
        subprocess.run(["umount", str(home)], check=True)


def of_all_processes(stack: RunningStack, look: Callable[[psutil.Process], T]) -> list[T]:
    """What ``look`` sees in every process of the stack; PostgreSQL's workers may end while we look."""
    servers = [stack.endpoints.kafka, stack.endpoints.postgres]
    found = []
    for ref in [*servers, *(below for server in servers for below in descendants(server.pid))]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(look(psutil.Process(ref.pid)))
    assert len(found) >= 4
    return found


def test_nothing_listens_beyond_loopback_and_nobody_enters_without_the_password(home: Path) -> None:
    with start(home, report=quiet) as stack:
        ports = set(remembered_ports(Home(home)).values())
        listening: set[tuple[str, int]] = set()

        def all_seen() -> bool:
            """The kernel's list of sockets is no snapshot: under load one look may miss some."""
            for found in of_all_processes(stack, lambda process: process.net_connections(kind="inet")):
                listening.update(
                    (connection.laddr.ip, connection.laddr.port)
                    for connection in found
                    if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
                )
            return {port for _, port in listening} >= ports

        eventually(all_seen)
        assert listening == {("127.0.0.1", port) for port in ports}
        unix = of_all_processes(stack, lambda process: process.net_connections(kind="unix"))
        assert [
            connection.laddr for connection in itertools.chain.from_iterable(unix) if connection.laddr
        ] == []
        wrong = stack.endpoints.database_url.replace(
            Home(home).database_password_file.read_text().strip(), "wrong"
        )
        assert wrong != stack.endpoints.database_url
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)


def test_both_servers_fit_into_the_memory_that_they_were_given(home: Path) -> None:
    with start(home, report=quiet) as stack:
        resident = sum(of_all_processes(stack, lambda process: process.memory_full_info().pss))
    assert 50e6 < resident < 600e6


@AS_ROOT
def test_root_gives_postgres_a_user_namespace_below_a_private_folder(home: Path) -> None:
    home.mkdir(mode=0o700)
    if not account.namespace_works(account.namespace_user(), home):
        pytest.skip("this machine refuses user namespaces")
    with start(home, report=quiet) as stack:
        inside, outside, count = Path(f"/proc/{stack.endpoints.postgres_pid}/uid_map").read_text().split()
        assert (inside != "0", outside, count) == (True, "0", "1")
        assert (home / "postgres" / "data" / "PG_VERSION").stat().st_uid == 0
        assert not (home / "postgres-place.json").exists()


@AS_ROOT
def test_root_without_namespaces_puts_postgres_where_an_unprivileged_account_can_be(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "namespace_works", lambda user, folder: False)
    home.mkdir(mode=0o700)
    memory = home / "postgres-place.json"
    try:
        with start(home, report=quiet) as stack:
            write_one(stack.endpoints)
            assert psutil.Process(stack.endpoints.postgres_pid).uids().effective != 0
            assert stat.S_IMODE(home.stat().st_mode) == 0o700
            assert home.stat().st_uid == 0
        with start(home, report=quiet) as again:
            assert read_one(again.endpoints) == (b"on the log", "in the table")
    finally:
        if memory.exists():
            subprocess.run(["rm", "-rf", json.loads(memory.read_text())["folder"]], check=True)


@AS_ROOT
def test_a_database_made_in_a_namespace_is_not_lost_silently(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "postgres" / "data" / "PG_VERSION").write_text("18\n")
    with pytest.raises(AccountRefused, match="made in a user namespace"):
        account.choose_place(Home(home), find_installation(), try_namespace=lambda user, folder: False)


@AS_ROOT
def test_the_home_of_another_account_is_refused(home: Path) -> None:
    home.mkdir()
    os.chown(home, 65_534, 65_534)
    with pytest.raises(AccountRefused, match="belongs to") as caught:
        start(home, report=quiet)
    assert "MILLSTREAM_HOME" in caught.value.remedy


def test_the_background_stack_stays_and_stops_from_anywhere(home: Path) -> None:
    said: list[str] = []
    endpoints = background.start_in_background(home, report=said.append)
    try:
        assert endpoints.alive()
        assert endpoints.owner.pid != os.getpid()
        assert "Starting Apache Kafka and PostgreSQL" in said
        assert background.start_in_background(home, report=said.append) == endpoints
    finally:
        background.stop_stack(home, report=said.append)
    assert not endpoints.kafka.alive()
    assert not endpoints.postgres.alive()
    assert process_ref(endpoints.owner.pid) != endpoints.owner
    with pytest.raises(NotRunning):
        background.stop_stack(home, report=said.append)


def test_a_background_start_that_fails_says_why(home: Path) -> None:
    home.mkdir()
    Home(home).version_file.write_text("{}")
    with pytest.raises(ChildFailed, match="of another version") as caught:
        background.start_in_background(home, report=quiet)
    assert "mv " in caught.value.remedy
