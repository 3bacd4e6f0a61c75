"""What commands say of a monitor: what was sent for a run, and which one is meant."""

from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from api.cli.client import Client
from api.cli.monitor_questions import NoSuchMonitor, Run, resolve
from api.graphql.ids import MONITOR, node_id

AT = "2026-11-30T15:00:00Z"


def sent(status: str, **more: object) -> dict[str, object]:
    return {"status": status, "timestamp": AT, **more}


def run(*actions: dict[str, object]) -> Run:
    given = {"id": "r", "status": "SUCCESS", "timestamp": AT, "resultCount": 1, "commitCount": 1}
    return msgspec.convert({**given, "actions": {"nodes": list(actions)}}, Run)


def test_what_was_sent_for_a_run_is_told_in_words() -> None:
    mail = [sent("ERROR", message="bob has no address", recipient="bob"), sent("SUCCESS", recipient="ann")]
    again = sent("PENDING", message="HTTP 503", nextAttempt="2026-11-30T15:05:00Z", attempts=1)
    found = run(
        {"__typename": "MonitorEmail", "events": {"nodes": mail}},
        {"__typename": "MonitorWebhook", "host": "example.com", "events": {"nodes": [again]}},
        {"__typename": "MonitorSlackWebhook", "host": "x", "events": {"nodes": [sent("PENDING")]}},
    )
    assert found.told == (
        "mail to bob failed: bob has no address, mail to ann sent; "
        "webhook tried again at 15:05:00: HTTP 503; slack waits"
    )
    assert found.in_short == "2026-11-30 15:00, failed"
    assert (run().told, run().in_short) == ("", "2026-11-30 15:00")


class _Api:
    """Answers with these monitors."""

    def __init__(self, *descriptions: str) -> None:
        self._nodes = [
            {
                "id": node_id(MONITOR, number),
                "description": description,
                "enabled": True,
                "createdAt": datetime(2026, 11, 30, tzinfo=UTC),
                "trigger": {"query": "q"},
                "actions": {"nodes": []},
            }
            for number, description in enumerate(descriptions)
        ]

    def ask(self, _: str, __: object, kind: type[Any]) -> object:
        page = {"nodes": self._nodes, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        return msgspec.convert({"currentUser": {"monitors": page}}, kind)


def test_a_monitor_goes_by_description_number_or_id() -> None:
    client = cast(Client, _Api("Keys", "Twice", "Twice"))
    assert resolve(client, "Keys") == node_id(MONITOR, 0)
    assert resolve(client, "1557") == node_id(MONITOR, 1557)
    assert resolve(client, node_id(MONITOR, 5)) == node_id(MONITOR, 5)
    with pytest.raises(NoSuchMonitor, match="2 monitors are called 'Twice'") as several:
        resolve(client, "Twice")
    assert several.value.remedy == "Name one by its number: 1, 2."
    with pytest.raises(NoSuchMonitor) as none:
        resolve(client, "Nope")
    assert none.value.remedy == "millstream monitor list"
