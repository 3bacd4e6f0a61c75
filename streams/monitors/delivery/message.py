"""What is said of an event of a monitor, whatever carries it. Pure."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from streams.monitors.results import Result

SHOWN_RESULTS: Final = 5
SHOWN_LINES: Final = 10
SHOWN_BYTES: Final = 2_500


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """``results`` None: contents are not told, the count alone. ``count`` is of all results.

    A test is of no monitor yet: its links lead to the list.
    """

    monitor_id: int
    job_id: int
    description: str
    owner: str
    query: str
    count: int
    results: Sequence[Result] | None
    external_url: str
    is_test: bool = False

    @property
    def monitor_url(self) -> str:
        if self.is_test:
            return f"{self.external_url}/code-monitoring"
        return f"{self.external_url}/code-monitoring/{monitor_node_id(self.monitor_id)}"

    @property
    def event_url(self) -> str:
        """The exact results; the reader's own rights decide what is shown."""
        if self.is_test:
            return self.monitor_url
        return f"{self.monitor_url}/events/{self.job_id}"


class Excerpt(msgspec.Struct, frozen=True):
    """The beginning of one result, short enough for a mail or a chat."""

    repository: str
    commit: str
    url: str
    text: str
    is_cut: bool


def monitor_node_id(monitor_id: int) -> str:
    """The id by which pages and the API name a monitor."""
    return urlsafe_b64encode(f"CodeMonitor:{monitor_id}".encode()).decode()


def with_source(url: str, source: str) -> str:
    """``url``, saying by which way the reader came."""
    return f"{url}?utm_source={quote(source)}"


def excerpts(message: Message) -> list[Excerpt]:
    """The first results, cut."""
    found = []
    for number, one in enumerate((message.results or ())[:SHOWN_RESULTS]):
        text, is_cut = _cut(one.text)
        found.append(
            Excerpt(one.repository, one.commit, f"{message.event_url}#result-{number}", text, is_cut)
        )
    return found


def more(message: Message) -> int:
    """Results beyond the excerpts."""
    return message.count - min(message.count, len(message.results or ()), SHOWN_RESULTS)


def plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _cut(text: str) -> tuple[str, bool]:
    lines = text.rstrip("\n").split("\n")
    kept = "\n".join(lines[:SHOWN_LINES])
    data = kept.encode("utf-8", "replace")
    if len(data) > SHOWN_BYTES:
        return data[:SHOWN_BYTES].decode("utf-8", "ignore"), True
    return kept, len(lines) > SHOWN_LINES
