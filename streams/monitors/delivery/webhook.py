"""The body of a generic webhook: the reference's, field by field. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from streams.monitors.delivery.message import Message, with_source
from streams.monitors.results import Result

CONTENT_TYPE: Final = "application/json"
_NAMES: Final = {"monitor_description": "monitorDescription", "monitor_url": "monitorURL"}


class Payload(msgspec.Struct, frozen=True, kw_only=True, rename=_NAMES, omit_defaults=True):
    """``results`` are left out where the action does not include them."""

    monitor_description: str
    monitor_url: str
    query: str
    results: Sequence[Result] | None = None


def body_of(message: Message) -> bytes:
    """The bytes that are signed and sent."""
    return msgspec.json.encode(
        Payload(
            monitor_description=message.description,
            monitor_url=with_source(message.monitor_url, "code-monitor-webhook"),
            query=message.query,
            results=message.results,
        )
    )
