"""What the pages of code monitors read of their answers, and how a result is drawn."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from api.graphql import ids
from api.web.answers import AsOf
from api.web.templating import clock


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    """Field names as in the schema."""


class PageInfo(_Answer, frozen=True):
    end_cursor: str | None = None
    has_next_page: bool = False


class Repository(_Answer, frozen=True):
    name: str


class Named(_Answer, frozen=True):
    id: str
    namespace_name: str


class NamedPage(_Answer, frozen=True):
    nodes: list[Named]


class Sent(_Answer, frozen=True):
    status: str
    timestamp: datetime
    message: str | None = None
    delivery_id: str | None = msgspec.field(name="deliveryID", default=None)
    attempts: int = 0
    next_attempt: datetime | None = None
    recipient: str | None = None

    @property
    def mark(self) -> str:
        """The class of its sign."""
        return {"SUCCESS": "ready", "ERROR": "failed"}.get(
            self.status, "failed" if self.next_attempt else "loading"
        )

    @property
    def words(self) -> str:
        """What became of it, for people."""
        if self.status in ("SUCCESS", "ERROR"):
            return "sent" if self.status == "SUCCESS" else "failed"
        return f"tried again at {clock(self.next_attempt)}" if self.next_attempt else "on its way"

    @property
    def why(self) -> str:
        """Of one that did not arrive; what the receiver of one that did said is no reason."""
        return "" if self.status == "SUCCESS" else self.message or ""


class SentPage(_Answer, frozen=True):
    nodes: list[Sent]


class Action(_Answer, frozen=True):
    kind: str = msgspec.field(name="__typename")
    id: str = ""
    enabled: bool = True
    include_results: bool = False
    priority: str = "NORMAL"
    header: str = ""
    recipients: NamedPage | None = None
    host: str = ""
    url: str = ""
    signing_secret: str = ""
    disabled_reason: str | None = None
    cannot_send: str | None = None
    events: SentPage | None = None

    @property
    def words(self) -> str:
        """What it does, for people."""
        if self.kind == "MonitorEmail":
            names = ", ".join(one.namespace_name for one in self.recipients.nodes) if self.recipients else ""
            return f"Mail to {names}" if names else "Mail"
        return f"{'Slack' if self.kind == 'MonitorSlackWebhook' else 'Webhook'} at {self.host}"


class ActionPage(_Answer, frozen=True):
    nodes: list[Action] = []
    total_count: int = 0


class Told(msgspec.Struct, frozen=True):
    """One thing that was sent for a run, as a row of a table shows it."""

    to: str
    sent: Sent


class Run(_Answer, frozen=True):
    status: str
    timestamp: datetime
    result_count: int
    id: str = ""
    message: str | None = None
    commit_count: int = 0
    cause: str | None = None
    outcome: str | None = None
    warnings: list[str] = []
    repository: Repository | None = None
    actions: ActionPage = ActionPage()

    @property
    def told(self) -> list[Told]:
        """Everything that was sent for it, or is to be."""
        return [
            Told(f"Mail to {sent.recipient}" if sent.recipient else action.words, sent)
            for action in self.actions.nodes
            for sent in (action.events.nodes if action.events else ())
        ]

    @property
    def number(self) -> str:
        """Of its page."""
        return ids.parse_node_id(self.id)[1].rpartition("/")[2]

    @property
    def words(self) -> str:
        """How it ended, for people."""
        if self.status == "ERROR":
            return "failed"
        if self.status == "PENDING":
            return "running"
        if self.outcome in ("superseded", "hidden"):
            return {
                "superseded": "left out: edited meanwhile",
                "hidden": "left out: not visible to its owner",
            }[self.outcome]
        if self.cause == "begun" and not self.result_count:
            return "began here"
        return "found" if self.result_count else "nothing new"


class RunPage(_Answer, frozen=True):
    nodes: list[Run]
    total_count: int = 0
    page_info: PageInfo = PageInfo()


class Trigger(_Answer, frozen=True):
    query: str
    events: RunPage
    found: RunPage | None = None

    @property
    def newest_found(self) -> Run | None:
        """The newest run that found something, where it was asked for."""
        return self.found.nodes[0] if self.found is not None and self.found.nodes else None


class Monitor(_Answer, frozen=True):
    id: str
    description: str
    enabled: bool
    trigger: Trigger
    actions: ActionPage
    next_run: datetime | None = None
    created_at: datetime | None = None
    owner: Named | None = None


class MonitorPage(_Answer, frozen=True):
    nodes: list[Monitor]
    total_count: int
    page_info: PageInfo
    as_of: list[AsOf]


class _Mine(_Answer, frozen=True):
    monitors: MonitorPage


class MonitorsAnswer(_Answer, frozen=True):
    current_user: _Mine


class MonitorAnswer(_Answer, frozen=True):
    node: Monitor | None = None


class Result(_Answer, frozen=True):
    repository: str
    commit: str
    message: str | None = None
    matched_message_ranges: list[tuple[int, int]] | None = None
    diff: str | None = None
    matched_diff_ranges: list[tuple[int, int]] | None = None

    @property
    def lines(self) -> "list[ResultLine]":
        text = self.diff if self.diff is not None else self.message or ""
        ranges = self.matched_diff_ranges if self.diff is not None else self.matched_message_ranges
        return lines_of(text, ranges or (), is_diff=self.diff is not None)


class ResultEvent(Run, frozen=True):
    query: str = ""
    position: str | None = None
    results: list[Result] = []


class _Described(_Answer, frozen=True):
    description: str


class EventAnswer(_Answer, frozen=True):
    node: ResultEvent | None = None
    monitor: _Described | None = None


class Preview(_Answer, frozen=True):
    repository_count: int
    looked_at: int
    commits: int
    results: list[Result]


class PreviewAnswer(_Answer, frozen=True):
    code_monitor_preview: Preview


class Validation(_Answer, frozen=True):
    is_valid: bool
    invalid_reason: str | None = None
    position: int | None = None
    length: int | None = None


class ValidationAnswer(_Answer, frozen=True):
    validate_code_monitor_query: Validation


class User(_Answer, frozen=True):
    """Who asks."""

    id: str
    username: str
    cannot_be_mailed: str | None = None


class UserAnswer(_Answer, frozen=True):
    current_user: User


class _Written(_Answer, frozen=True):
    id: str


class CreatedAnswer(_Answer, frozen=True):
    create_code_monitor: _Written


class Anything(msgspec.Struct, frozen=True):
    """The answer of a mutation that the page does not read."""


class ResultPart(msgspec.Struct, frozen=True):
    text: str
    is_match: bool


class ResultLine(msgspec.Struct, frozen=True):
    """One line of a result; ``kind`` is file, hunk, added, removed or plain."""

    kind: str
    parts: Sequence[ResultPart]


def lines_of(text: str, ranges: Sequence[tuple[int, int]], *, is_diff: bool) -> list[ResultLine]:
    """The lines of a text, with what matched apart. Ranges are sorted, in code points; one may end on a later line."""
    found: list[ResultLine] = []
    at = 0
    for number, line in enumerate(text.rstrip("\n").split("\n")):
        end = at + len(line)
        inside = [(max(first, at), min(last, end)) for first, last in ranges if first < end and last > at]
        found.append(ResultLine(_kind(line, number) if is_diff else "plain", _parts(text, at, end, inside)))
        at = end + 1
    return found


def _parts(text: str, at: int, end: int, inside: Sequence[tuple[int, int]]) -> list[ResultPart]:
    parts: list[ResultPart] = []
    for first, last in inside:
        if first > at:
            parts.append(ResultPart(text[at:first], False))
        if last > max(first, at):
            parts.append(ResultPart(text[max(first, at) : last], True))
            at = last
    if at < end or not parts:
        parts.append(ResultPart(text[at:end], False))
    return parts


def _kind(line: str, number: int) -> str:
    if line.startswith("@@ "):
        return "hunk"
    if line.startswith("+"):
        return "added"
    if line.startswith("-"):
        return "removed"
    return "plain" if line.startswith((" ", "\\")) and number else "file"
