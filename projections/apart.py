"""A projector of several processes: a small parent, and a fork of it for each group of projections (``projections.sharing``).

The parent has neither threads nor connections, so that it can fork at any time, and the children share the memory of
what it has loaded. They die with it (SIGKILL): whoever kills the projector has killed all of it. A child that dies alone is
started again; one whose projections have all stopped for good says so and stays ended, and the others go on.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import structlog

from infra import members
from infra.family import Member, Patience, Start, keep_alive
from infra.gathering import Line, Page
from infra.logging import configure_from
from infra.settings import Settings
from projections.sharing import PATIENCE, Groups
from schemas.errors import MillstreamError, MustStop

EX_UNAVAILABLE: Final = 69
"""A child says that all its projections have stopped: starting it again is no use."""
EX_SOFTWARE: Final = 70
"""Exit code of a process that stopped because going on would be wrong."""
_PATIENCE: Final = Patience(stop_s=8.0)
_log = structlog.get_logger()

RunGroup = Callable[[Sequence[str]], int]
"""Runs these projections in the calling process until it is asked to stop (0), or none is left (EX_SOFTWARE)."""


def run_apart(settings: Settings, shared: Groups, run_group: RunGroup) -> int:
    """Run each group in a process of its own until SIGTERM or SIGINT; the exit code.

    It is 0 when asked to stop, 70 when no projection is left, or that of a child that dies again and again.
    """
    lines: dict[str, Line] = {}
    with ExitStack() as resources:
        page: Page | None = None
        if settings.metrics_port is not None:
            page = resources.enter_context(Page(settings.metrics_port, lambda: _answers(lines)))
            _log.info("metrics_served", port=page.port)
        _log.info("projector_shared", pid=os.getpid(), groups=shared)
        children = {
            name: _child(settings, name, names, run_group, lines, page) for name, names in shared.items()
        }
        code = keep_alive(
            children, _PATIENCE, final=(EX_UNAVAILABLE,), meanwhile=None if page is None else page.serve
        )
    return EX_SOFTWARE if code == EX_UNAVAILABLE else code


def _answers(lines: dict[str, Line]) -> Iterator[str]:
    for line in lines.values():
        if (text := line.ask()) is not None:
            yield text


def _child(
    settings: Settings,
    group: str,
    names: Sequence[str],
    run_group: RunGroup,
    lines: dict[str, Line],
    page: Page | None,
) -> Start:
    def start() -> Member:
        line = Line()

        def run() -> int:
            if page is not None:
                page.close()
            line.answer()
            os.nice(PATIENCE.get(group, 0))
            configure_from(settings, f"projector-{group}")
            _log.info("group_started", group=group, projections=list(names), pid=os.getpid())
            try:
                code = run_group(names)
            except MillstreamError as error:
                _log.error("not_started", group=group, error=str(error), remedy=error.remedy)
                return EX_UNAVAILABLE if isinstance(error, MustStop) else 1
            return EX_UNAVAILABLE if code == EX_SOFTWARE else code

        member = members.fork(f"projector-{group}", run, death_signal=signal.SIGKILL)()
        line.handed_over()
        if (former := lines.pop(group, None)) is not None:
            former.close()
        lines[group] = line
        return member

    return start
