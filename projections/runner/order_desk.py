"""Where a runner looks, between batches, whether operators ordered something for the partitions it has."""

import time
from collections.abc import Mapping
from typing import Final

import structlog

from projections.projection import Projection
from projections.runner import orders
from projections.runner.checkpoint import Connection, Partition
from projections.runner.decoders import DECODERS
from projections.runner.held import Held
from projections.runner.orders_log import Drop
from projections.runner.redrive import Redriver

LOOK_S: Final = 0.5
WAIT_S: Final = 5.0
_POLL_S: Final = 0.05
_log = structlog.get_logger()


class OrderDesk:
    """For one membership of the group, in the thread that writes batches."""

    def __init__(self, projection: Projection) -> None:
        self._name = projection.name
        self._redriver = Redriver(projection.name, projection.prepare, DECODERS[projection.decoding])
        self._held: Held | None = None
        self._looked_at_s = -LOOK_S
        self.busy = False
        """Whether an order is being carried out: there may be more of it."""

    def is_new(self, held: Held) -> bool:
        """Whether this is the first batch of an assignment."""
        if held is self._held:
            return False
        self._held, self._looked_at_s = held, -LOOK_S
        return True

    def begin(
        self, connection: Connection, epochs: Mapping[Partition, int], held: Held, orders_end: int
    ) -> None:
        """Before the first batch of an assignment: leave out what was ordered to be dropped unread. Raises as ``work``."""
        self._wait_known(connection, orders_end)
        ahead: dict[Partition, list[Drop]] = {}
        for one in orders.ahead(connection, self._name, epochs):
            ahead.setdefault((one.topic, one.partition), []).append(one)
        for partition, drops in ahead.items():
            self._redriver.leave_out(connection, partition, drops, epochs[partition], held)

    def _wait_known(self, connection: Connection, end: int) -> None:
        """Wait until the orders that stood on the log at the assignment are folded, so that what was dropped unread is known.

        Not for ever: where nobody folds them, this projection goes on as far as it knows.
        """
        deadline_s = time.monotonic() + WAIT_S
        while self._name != orders.OPERATIONS and end > 0:
            known = orders.known_up_to(connection)
            if known is None or known >= end:
                return
            if time.monotonic() > deadline_s:
                _log.warning(
                    "orders_not_known",
                    projection=self._name,
                    remedy="Run the projection operations too: its checkpoint is behind the orders on the log.",
                )
                return
            time.sleep(_POLL_S)

    def work(self, connection: Connection, epochs: Mapping[Partition, int], held: Held) -> bool:
        """Do one step of the earliest order that is due; False when nothing is, or it is too early to look again.

        ``held`` must not be older than ``epochs``. Raises Fenced; what ``failures.blame`` says is time's fault, or nobody's.
        """
        now_s = time.monotonic()
        if not epochs or (not self.busy and now_s - self._looked_at_s < LOOK_S):
            return False
        self._looked_at_s = now_s
        order = orders.due(connection, self._name, epochs)
        self.busy = order is not None
        if order is None:
            return False
        self._redriver.step(connection, order, epochs[order.partition], held)
        _log.debug(
            "order_step",
            projection=self._name,
            order=order.position,
            partition="/".join(map(str, order.partition)),
            aggregates=len(order.aggregates),
            records=len(order.records),
            dry_run=order.dry_run,
        )
        return True
