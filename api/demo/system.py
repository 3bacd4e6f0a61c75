"""Everything up for the demo: started, or joined where it runs already."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from infra.embedded.children import ChildSpec
from infra.embedded.errors import NotRunning, StackError
from infra.embedded.home import Home, open_home
from infra.embedded.ports import LOOPBACK, remembered_ports
from infra.embedded.services import (
    answers,
    page_port,
    service_children,
    service_environment,
    services_lock,
    services_run,
)
from infra.embedded.stack import RunningStack, start
from infra.embedded.supervisor import ChildState, ChildStatus, Supervisor
from infra.installation import set_up
from infra.settings import Settings, load_settings

_JOIN_TIMEOUT_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class System:
    """A running Millstream. ``check`` raises when a part of it is gone for good; ``wait`` stays until then."""

    settings: Settings
    base_url: str
    joined: bool
    """Whether another process runs worker, projector and API: they are left running."""
    download_s: float
    start_s: float
    """Seconds until everything answered, downloads not counted."""
    services: Supervisor | None
    stack: RunningStack | None

    def check(self) -> None:
        """Raises ChildFailed or StackError when a server or one of our processes has ended for good."""
        self.wait(0.0)

    def wait(self, timeout_s: float) -> None:
        """Wait; returns after ``timeout_s``. Raises like ``check``."""
        if self.services is not None:
            self.services.wait(timeout_s)
        else:
            time.sleep(timeout_s)
            if not answers(_port_of(self.base_url)):
                raise NotRunning(
                    "the Millstream that was joined has been stopped",
                    remedy="run the demo again: it starts its own",
                )
        if self.stack is not None and not self.stack.endpoints.owner.alive():
            raise StackError(
                "the stack that was joined has been stopped", remedy="run the demo again: it starts its own"
            )


@contextmanager
def running(settings: Settings, report: Callable[[str], None]) -> Iterator[System]:
    """Start what does not run yet; at the end stop what was started here, in the opposite order.

    Raises:
        schemas.errors.MillstreamError: with the remedy in one line.
    """
    began = time.monotonic()
    home = open_home(settings.home)
    if services_run(home.folder):
        yield _joined(home, report, began)
        return
    with ExitStack() as undo:
        stack, download_s = None, 0.0
        if not (settings.kafka_bootstrap and settings.database_url.get_secret_value()):
            stack = undo.enter_context(
                start(home.folder, report=report, kafka_heap_mb=settings.kafka_heap_mb)
            )
            download_s = 0.0 if stack.joined else stack.endpoints.download_s
        undo.enter_context(services_lock(home))
        port = page_port(home)
        settings = load_settings()
        report("Preparing topics and database roles")
        set_up(settings)
        report("Starting projector, worker and API")
        children = service_children(home, port=port, environ=service_environment(home, port))
        services = undo.enter_context(_supervised(home, children, report))
        start_s = time.monotonic() - began - download_s
        yield System(settings, f"http://{LOOPBACK}:{port}", False, download_s, start_s, services, stack)


def _joined(home: Home, report: Callable[[str], None], began: float) -> System:
    """The system that another process runs, once its API answers."""
    report(f"Joining the Millstream that runs in {home.folder}")
    while True:
        port = remembered_ports(home).get("page")
        if port is not None and answers(port):
            return System(
                load_settings(), f"http://{LOOPBACK}:{port}", True, 0.0, time.monotonic() - began, None, None
            )
        if time.monotonic() - began > _JOIN_TIMEOUT_S:
            raise NotRunning(
                f"Millstream runs in {home.folder}, but its API does not answer",
                remedy="see millstream logs api; or millstream stack stop, then run the demo again",
            )
        if not services_run(home.folder):
            raise NotRunning(
                f"the Millstream in {home.folder} has just been stopped", remedy="run the demo again"
            )
        time.sleep(_POLL_S)


def _supervised(home: Home, children: list[ChildSpec], report: Callable[[str], None]) -> Supervisor:
    def on_change(status: ChildStatus) -> None:
        if status.state is ChildState.BACKING_OFF:
            report(
                f"{status.name} ended with code {status.last_exit_code} and is started again (millstream logs {status.name})"
            )

    run = home.run / "services"
    run.mkdir(mode=0o700, exist_ok=True)
    return Supervisor(children, logs=home.logs, run=run, on_change=on_change)


def _port_of(base_url: str) -> int:
    return int(base_url.rpartition(":")[2])
