"""Supervision, on real processes."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.embedded.children import Backoff, ChildSpec, pid_file, stop_orphans
from infra.embedded.errors import ChildFailed, StackError
from infra.embedded.processes import ProcessRef, own_ref, process_ref, stop_processes
from infra.embedded.supervisor import ChildState, ChildStatus, Supervisor

FAST = Backoff(initial_s=0.05, factor=1.0, longest_s=0.05)


def eventually(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Wait for a condition; fail with its source line when it does not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sh(script: str, *arguments: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script, "sh", *arguments)


class Bench:
    """Folders and a record of every change of state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs, self.run = folder / "logs", folder / "run"
        self.logs.mkdir()
        self.run.mkdir()
        self.changes: list[tuple[str, ChildState]] = []

    def supervisor(self, *children: ChildSpec) -> Supervisor:
        return Supervisor(children, logs=self.logs, run=self.run, on_change=self._note)

    def _note(self, status: ChildStatus) -> None:
        self.changes.append((status.name, status.state))

    def marked(self, name: str) -> Callable[[], bool]:
        return (self.folder / name).exists


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ref_of(supervisor: Supervisor, name: str) -> ProcessRef:
    (found,) = [status.process for status in supervisor.status() if status.name == name]
    assert found is not None
    return found


def test_children_start_in_order_when_the_one_before_is_ready_and_stop_in_the_opposite_order(
    bench: Bench,
) -> None:
    mark = str(bench.folder / "mark")
    first = ChildSpec("first", sh('sleep 0.3; touch "$1"; exec sleep 60', mark), ready=bench.marked("mark"))
    second = ChildSpec("second", sh('test -e "$1" && exec sleep 60', mark), after=("first",))
    with bench.supervisor(first, second) as supervisor:
        assert [status.state for status in supervisor.status()] == [ChildState.READY, ChildState.READY]
        refs = [ref_of(supervisor, "first"), ref_of(supervisor, "second")]
        assert all(ref.alive() for ref in refs)
    assert bench.changes == [
        ("first", ChildState.STARTING),
        ("first", ChildState.READY),
        ("second", ChildState.STARTING),
        ("second", ChildState.READY),
        ("second", ChildState.STOPPED),
        ("first", ChildState.STOPPED),
    ]
    assert not any(ref.alive() for ref in refs)
    assert list(bench.run.iterdir()) == []


def test_a_child_may_only_come_after_one_before_it(bench: Bench) -> None:
    with pytest.raises(StackError, match="not before it"):
        bench.supervisor(ChildSpec("a", sh(""), after=("b",)), ChildSpec("b", sh("")))


def test_a_child_that_dies_before_it_is_ready_fails_the_start_with_its_last_words(bench: Bench) -> None:
    good = ChildSpec("good", sh("exec sleep 60"))
    bad = ChildSpec("bad", sh("echo 'out of luck' >&2; exit 3"), ready=lambda: False)
    supervisor = bench.supervisor(good, bad)
    with pytest.raises(ChildFailed, match="bad ended with code 3: out of luck") as caught:
        supervisor.start()
    assert "bad.log" in caught.value.remedy
    assert supervisor.status()[0].state is ChildState.STOPPED


def test_a_child_that_is_not_ready_in_time_is_killed(bench: Bench) -> None:
    supervisor = bench.supervisor(
        ChildSpec("slow", sh("exec sleep 60"), ready=lambda: False, ready_timeout_s=0.2)
    )
    with pytest.raises(ChildFailed, match="slow was not ready in time"):
        supervisor.start()
    assert supervisor.status()[0].process is None


def test_a_program_that_does_not_exist_fails_the_start(bench: Bench) -> None:
    with pytest.raises(ChildFailed, match="cannot launch /none/such"):
        bench.supervisor(ChildSpec("none", ("/none/such",), ready=lambda: False)).start()


def test_a_child_that_ends_itself_is_started_again(bench: Bench) -> None:
    counter = bench.folder / "count"
    script = 'echo x >> "$1"; test $(wc -l < "$1") -ge 3 && exec sleep 60; exit 70'
    child = ChildSpec("agent", sh(script, str(counter)), restart=True, start_attempts=3, backoff=FAST)
    with bench.supervisor(child) as supervisor:
        eventually(
            lambda: supervisor.status()[0].restarts == 2 and supervisor.status()[0].state is ChildState.READY
        )
        assert supervisor.status()[0].last_exit_code == 70
        # Without a probe of its own a child is ready once it is launched: its script may not have begun yet.
        eventually(lambda: len(counter.read_text().split()) == 3)


def test_a_child_killed_from_outside_is_started_again_as_another_process(bench: Bench) -> None:
    with bench.supervisor(ChildSpec("agent", sh("exec sleep 60"), restart=True, backoff=FAST)) as supervisor:
        first = ref_of(supervisor, "agent")
        assert first.signal(signal.SIGKILL)
        eventually(
            lambda: supervisor.status()[0].restarts == 1 and supervisor.status()[0].state is ChildState.READY
        )
        assert ref_of(supervisor, "agent") != first
        assert supervisor.status()[0].last_exit_code == -signal.SIGKILL


def test_a_child_that_dies_again_and_again_is_given_up(bench: Bench) -> None:
    backoff = Backoff(initial_s=0.02, factor=1.0, give_up_after=3)
    with bench.supervisor(
        ChildSpec(
            "agent", sh("sleep 0.3; echo boom; exit 70"), restart=True, start_attempts=3, backoff=backoff
        )
    ) as supervisor:
        with pytest.raises(ChildFailed, match=r"agent ended with code 70 \(3 times in a row\): boom"):
            supervisor.wait(timeout_s=15)
        assert supervisor.status()[0].restarts == 2


def test_a_child_that_is_not_to_be_restarted_ends_the_wait(bench: Bench) -> None:
    supervisor = bench.supervisor(
        ChildSpec("once", sh('while ! test -e "$1"; do sleep 0.02; done; exit 4', str(bench.folder / "go")))
    )
    with supervisor:
        assert not supervisor.wait(timeout_s=0.1)
        (bench.folder / "go").touch()
        with pytest.raises(ChildFailed, match="once ended with code 4"):
            supervisor.wait(timeout_s=15)


def test_waiting_ends_when_it_is_stopped(bench: Bench) -> None:
    with bench.supervisor(ChildSpec("a", sh("exec sleep 60"))) as supervisor:
        threading.Timer(0.1, supervisor.stop).start()
        assert supervisor.wait(timeout_s=15)


def test_a_stubborn_child_and_what_it_left_behind_are_killed(bench: Bench) -> None:
    pids = bench.folder / "pids"
    script = 'trap "" TERM; sleep 60 & echo $! > "$1.new"; mv "$1.new" "$1"; while true; do sleep 0.1; done'
    child = ChildSpec("stubborn", sh(script, str(pids)), ready=bench.marked("pids"), stop_timeout_s=0.3)
    with bench.supervisor(child) as supervisor:
        parent, below = ref_of(supervisor, "stubborn"), process_ref(int(pids.read_text()))
        assert below is not None
    assert not parent.alive()
    eventually(lambda: not below.alive())


def test_the_stop_signal_is_the_childs_own(bench: Bench) -> None:
    mark = bench.folder / "stopped"
    script = f"trap 'echo int > {mark}; exit 0' INT; touch {bench.folder}/up; while true; do sleep 0.02; done"
    # Who is started in the background by a script ignores SIGINT, and so would its children: the launcher lets them hear it.
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with bench.supervisor(
            ChildSpec("a", sh(script), ready=bench.marked("up"), stop_signal=signal.SIGINT)
        ):
            pass
    finally:
        signal.signal(signal.SIGINT, former)
    assert mark.read_text() == "int\n"


def test_children_die_with_a_supervisor_that_is_killed(bench: Bench) -> None:
    program = """
import sys
from pathlib import Path
from infra.embedded.children import ChildSpec
from infra.embedded.supervisor import Supervisor
folder = Path(sys.argv[1])
spec = ChildSpec("child", ("/bin/sleep", "60"))
supervisor = Supervisor([spec], logs=folder, run=folder)
supervisor.start()
print(supervisor.status()[0].process.pid, flush=True)
supervisor.wait()
"""
    outer = ChildSpec(
        "outer", (sys.executable, "-c", program, str(bench.folder)), ready=lambda: bool(_log(bench, "outer"))
    )
    with bench.supervisor(outer) as supervisor:
        child = process_ref(int(_log(bench, "outer")))
        assert child is not None
        os.kill(ref_of(supervisor, "outer").pid, signal.SIGKILL)
        eventually(lambda: not child.alive())


def _log(bench: Bench, name: str) -> str:
    path = bench.logs / f"{name}.log"
    text = path.read_text() if path.exists() else ""
    return text if text.endswith("\n") else ""


def _orphan(bench: Bench, script: str) -> ProcessRef:
    """A process that no supervisor of ours knows, with a pid file as a crashed one leaves it."""
    ready = bench.folder / "orphan-ready"
    pid = os.posix_spawn(
        "/bin/sh", [*sh(f"{script}; touch {ready}; while true; do sleep 0.02; done")], os.environ
    )
    threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()
    eventually(ready.exists)
    ref = process_ref(pid)
    assert ref is not None
    return ref


def _remember(bench: Bench, name: str, ref: ProcessRef) -> None:
    text = f'{{"pid": {ref.pid}, "start_ticks": {ref.start_ticks}, "stop_signal": 15}}'
    pid_file(bench.run, name).write_text(text)


@pytest.mark.parametrize("script", ["true", "trap '' TERM"])
def test_an_orphan_is_ended_gently_or_not(bench: Bench, script: str) -> None:
    ref = _orphan(bench, script)
    _remember(bench, "kafka", ref)
    assert stop_orphans(bench.run, timeout_s=0.3) == ["kafka"]
    assert not ref.alive()
    assert list(bench.run.iterdir()) == []


def test_a_pid_that_now_belongs_to_another_process_is_left_alone(bench: Bench) -> None:
    ref = _orphan(bench, "true")
    _remember(bench, "kafka", ProcessRef(ref.pid, ref.start_ticks - 1))
    assert stop_orphans(bench.run, timeout_s=0.3) == []
    assert ref.alive()
    stop_processes({ref: signal.SIGTERM}, timeout_s=5)


@pytest.mark.parametrize("text", ["", '{"pid": 1', "[]", '{"pid": "x", "start_ticks": 1, "stop_signal": 15}'])
def test_a_pid_file_that_was_cut_short_is_removed(bench: Bench, text: str) -> None:
    pid_file(bench.run, "kafka").write_text(text)
    assert stop_orphans(bench.run) == []
    assert list(bench.run.iterdir()) == []


def test_a_process_is_known_by_its_start_too() -> None:
    me = own_ref()
    assert me.alive()
    assert not ProcessRef(me.pid, me.start_ticks + 1).alive()
    assert not ProcessRef(me.pid, me.start_ticks + 1).signal(signal.SIGKILL)


def test_backoff_grows_to_its_limit() -> None:
    backoff = Backoff(initial_s=0.5, factor=2.0, longest_s=3.0)
    assert [backoff.delay_s(failures) for failures in (1, 2, 3, 4, 100_000)] == [0.5, 1.0, 2.0, 3.0, 3.0]
