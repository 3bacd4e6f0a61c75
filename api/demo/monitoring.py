"""A code monitor catches what the demo commits, and tells it to a receiver that the demo runs and that checks the signature."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from api.cli.client import Client
from api.demo import causes
from api.demo import monitor_questions as questions
from api.demo.causes import Link, Mark
from api.demo.following import DemoFailed, wait_until
from api.demo.receiver import Heard, Receiver, receiving
from api.demo.samples import NEW_API
from api.demo.system import System
from infra.kafka.admin import KafkaAdmin
from schemas.errors import MillstreamError

DESCRIPTION: Final = "New calls of the gateway"
_STEPS: Final = (
    "repository.pushed",
    "trigger.fired",
    "trigger.dispatched",
    "trigger.evaluated",
    "action.requested",
    "action.succeeded",
)


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that the monitor ``description`` found, and the webhook that told it, with a signature that was good."""

    monitor: str
    """Its GraphQL id."""
    description: str
    query: str
    commit: str
    results: int
    delivery_id: str
    seconds: float
    """From the commit to the webhook."""
    chain: list[Link]
    """From the push to the delivery's success."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A monitor that looks, its receiver, and the ends of the topics as they were before."""

    monitor: questions.MonitorAnswer
    receiver: Receiver
    began: Mark

    def caught(self, client: Client, system: System, commit: str, committed_s: float) -> Caught:
        """Wait for the webhook that tells of ``commit``, and for its outcome. Raises DemoFailed."""
        heard = wait_until(system, lambda: self._heard(commit), "no webhook told of the commit")

        def recorded() -> questions.RunAnswer | None:
            answer = client.ask(questions.DELIVERIES, {"id": self.monitor.id}, questions.DeliveriesAnswer)
            return next((run for run in answer.runs if heard.delivery_id in run.succeeded), None)

        run = wait_until(system, recorded, "the history does not say that the webhook was taken")
        return Caught(
            monitor=self.monitor.id,
            description=self.monitor.description,
            query=self.monitor.trigger.query,
            commit=commit,
            results=run.result_count,
            delivery_id=heard.delivery_id,
            seconds=heard.at_s - committed_s,
            chain=causes.of_delivery(causes.since(system.settings, self.began), heard.delivery_id),
        )

    def _heard(self, commit: str) -> Heard | None:
        if self.receiver.refused:
            raise DemoFailed(
                f"a webhook came whose signature is not good: {self.receiver.refused[0]}",
                remedy="see millstream logs worker",
            )
        return next((one for one in list(self.receiver.heard) if commit in one.commits), None)


@contextmanager
def watching(client: Client, system: System, repository: str) -> Iterator[Watch | None]:
    """The demo's monitor of this sample, enabled until the block ends; None where nothing may be sent to loopback."""
    if not system.sends_to_loopback:
        yield None
        return
    with receiving() as receiver:
        monitor = _enabled(client, query_of(repository), receiver)
        try:
            with KafkaAdmin(system.settings, client_id="millstream-demo") as admin:
                began = causes.mark(admin)
            yield Watch(monitor, receiver, began)
        finally:
            # Nobody listens there any more. What the demo fails of is said by another error than this one.
            with suppress(MillstreamError):
                client.ask(questions.TOGGLE, {"id": monitor.id, "enabled": False}, questions.WrittenAnswer)


def query_of(repository: str) -> str:
    """What the monitor looks for."""
    return f"repo:^{re.escape(repository)}$ type:diff select:commit.diff.added {NEW_API}call"


def problem_of(caught: Caught) -> MillstreamError | None:
    """Every step from the push to the webhook is on the log."""
    told = {link.event for link in caught.chain}
    missing = [event for event in _STEPS if event not in told]
    if not missing:
        return None
    return DemoFailed(
        f"the webhook of delivery {caught.delivery_id} came, but the log has no {missing[0]} that led to it",
        remedy="see millstream logs worker; run millstream verify",
    )


def _enabled(client: Client, query: str, receiver: Receiver) -> questions.MonitorAnswer:
    """The monitor of an earlier run, or a new one; it sends to this receiver, and begins at the present."""
    user, found = _earlier(client, query)
    settings = {"namespace": user, "description": DESCRIPTION, "enabled": True}
    webhook = {"enabled": True, "includeResults": True, "url": receiver.url}
    if found is None:
        variables: dict[str, object] = {
            "monitor": settings,
            "trigger": {"query": query},
            "actions": [{"webhook": webhook}],
        }
        written = client.ask(questions.CREATE, variables, questions.WrittenAnswer).written
    else:
        variables = {
            "monitor": {"id": found.id, "update": settings},
            "trigger": {"update": {"query": query}},
            "actions": [{"webhook": {"id": found.webhook.id, "update": webhook}}],
        }
        written = client.ask(questions.UPDATE, variables, questions.WrittenAnswer).written
    receiver.key = written.webhook.signing_secret or ""
    return written


def _earlier(client: Client, query: str) -> tuple[str, questions.MonitorAnswer | None]:
    """Who asks, and the monitor that an earlier run has made."""
    after: str | None = None
    while True:
        user = client.ask(questions.MINE, {"after": after}, questions.MineAnswer).current_user
        for one in user.monitors.nodes:
            if (one.description, one.trigger.query) == (DESCRIPTION, query):
                return user.id, one
        if not user.monitors.page_info.has_next_page:
            return user.id, None
        after = user.monitors.page_info.end_cursor
