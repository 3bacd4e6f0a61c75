"""Runners of projections in threads of the test's own process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.generations import Generation, ensure_generation
from projections.projection import Projection
from projections.runner.notify import Notifier
from projections.runner.runner import Runner


class Running:
    """Runners that work, the generations that they write, and what ended one early."""

    def __init__(self) -> None:
        self.generations: list[Generation] = []
        self.failures: list[BaseException] = []


@contextmanager
def running(settings: Settings, *projections: Projection) -> Iterator[Running]:
    """Run these projections until the block ends. Whoever expects no failure looks at ``failures`` behind it."""
    stop = threading.Event()
    notifier = Notifier(settings)
    database = engine(settings, Role.PROJECTOR)
    found = Running()
    found.generations = [ensure_generation(database, one) for one in projections]

    def run(projection: Projection, generation: Generation) -> None:
        try:
            Runner(settings, projection, generation, notifier, stop).run()
        except BaseException as error:  # noqa: BLE001 - looked at by the tests
            found.failures.append(error)

    threads = [
        threading.Thread(target=run, args=pair) for pair in zip(projections, found.generations, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        notifier.close()
        database.dispose()
