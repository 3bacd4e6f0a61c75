"""Everything up for the demo: started, or joined where it runs already."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from infra.embedded.address import announced
from infra.embedded.errors import NotRunning, StackError
from infra.embedded.home import Home, open_home
from infra.embedded.ports import LOOPBACK
from infra.embedded.services import answers, page_port, running_services, services_lock, services_run
from infra.embedded.stack import RunningStack, start
from infra.embedded.supervisor import Supervisor
from infra.installation import set_up
from infra.settings import PREFIX, Settings, load_settings

Report = Callable[[str], None]
"""Gets what a person wants to know, in plain lines."""

_ANSWER_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class System:
    """A running Millstream. ``wait`` stays for a while and raises when a part of it is gone for good."""

    settings: Settings
    base_url: str
    joined: bool
    """Whether another process runs worker, projector and API: they are left running."""
    download_s: float
    start_s: float
    """Seconds until everything answered, downloads not counted."""
    services: Supervisor | None
    stack: RunningStack | None
    sends_to_loopback: bool = False
    """Whether its worker may deliver webhooks on this machine: nobody but the demo allows that."""

    def wait(self, timeout_s: float) -> None:
        """Wait this long. Raises ChildFailed or StackError when a server or one of our processes has ended for good."""
        if self.services is not None:
            self.services.wait(timeout_s)
        else:
            time.sleep(timeout_s)
            if not answers(int(self.base_url.rpartition(":")[2])):
                raise NotRunning(
                    "the Millstream that was joined has been stopped",
                    remedy="run the demo again: it starts its own",
                )
        if self.stack is not None and not self.stack.endpoints.owner.alive():
            raise StackError(
                "the stack that was joined has been stopped", remedy="run the demo again: it starts its own"
            )


@contextmanager
def running(settings: Settings, report: Report, *, send_to_loopback: bool = False) -> Iterator[System]:
    """Start what does not run yet; at the end stop what was started here, in the opposite order.

    Args:
        send_to_loopback: let the worker that is started here deliver webhooks on this machine.

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
        external = settings.kafka_bootstrap and settings.database_url.get_secret_value()
        if settings.embedded or not external:
            stack = undo.enter_context(
                start(home.folder, report=report, kafka_heap_mb=settings.kafka_heap_mb)
            )
            download_s = 0.0 if stack.joined else stack.endpoints.download_s
        undo.enter_context(services_lock(home))
        port = page_port(home, report=report)
        settings = load_settings()
        report("Preparing topics and database roles")
        set_up(settings)
        report("Starting projector, worker and API")
        of_worker = _loopback_allowed(settings) if send_to_loopback else None
        services = undo.enter_context(running_services(home, port, report=report, of_worker=of_worker))
        base_url = f"http://{LOOPBACK}:{port}"
        start_s = time.monotonic() - began - download_s
        yield System(settings, base_url, False, download_s, start_s, services, stack, send_to_loopback)


def _loopback_allowed(settings: Settings) -> dict[str, str]:
    """The setting that lets webhooks reach this machine, beside what it allows already; none goes on to a later start."""
    return {f"{PREFIX}ACTION_ALLOWED_HOSTS": ",".join((*settings.action_allowed_hosts, LOOPBACK))}


def _joined(home: Home, report: Report, began: float) -> System:
    """The system that another process runs, once its API answers."""
    report(f"Joining the Millstream that runs in {home.folder}")
    while True:
        found = announced(home.folder)
        if found is not None and answers(int(found[0].rpartition(":")[2])):
            return System(load_settings(), found[0], True, 0.0, time.monotonic() - began, None, None)
        if time.monotonic() - began > _ANSWER_TIMEOUT_S:
            raise NotRunning(
                f"Millstream runs in {home.folder}, but its API does not answer",
                remedy="see millstream logs api; or millstream stack stop, then run the demo again",
            )
        if not services_run(home.folder):
            raise NotRunning(
                f"the Millstream in {home.folder} has just been stopped", remedy="run the demo again"
            )
        time.sleep(_POLL_S)
