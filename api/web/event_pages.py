"""``/events/{id or position}``: where an event is, and what it caused."""

from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.tracing.asked import NotAsked, from_text
from api.web.asking import PageContext, ask, shown
from api.web.rendering import page, render, see_other

PATH: Final = "/events/"
_FAIR: Final = frozenset({"APPLIED", "ACCEPTED", "DUPLICATE", "SKIPPED", "IGNORED"})
_WAITS: Final = frozenset({"WAITING", "PENDING"})


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class Link(_Answer):
    depth: int
    id: str
    type: str | None = None
    subject: str | None = None
    position: str | None = None
    appended_at: datetime | None = None
    caused_by: str | None = None
    state: str | None = None
    reason: str | None = None

    @property
    def address(self) -> str:
        """Its own page."""
        return address_of(self.position or self.id)


class Node(msgspec.Struct):
    """One event of the tree."""

    link: Link
    children: "list[Node]"


class Publication(_Answer):
    position: str
    state: str
    appended_at: datetime | None = None
    reason: str | None = None
    duplicate_of: str | None = None


class Header(_Answer):
    name: str
    value: str


class Record(_Answer):
    reading: str
    size_bytes: int
    structured: bool
    headers: list[Header]
    key: str | None = None
    time: datetime | None = None
    version: int | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    payload: str | None = None


class Passage(_Answer):
    projection: str
    generation: int
    passing: str
    next_offset: float | None = None
    passed_by: datetime | None = None
    reason: str | None = None


class Group(_Answer):
    group: str
    agents: list[str]
    passed: bool
    next_offset: float | None = None


class Obligation(_Answer):
    obligation: str
    agents: list[str]
    attempt: int
    attempts: int
    of_this: bool
    message: str
    opened: str | None = None
    failed_at: datetime | None = None


class Event(_Answer):
    """``event`` of the schema."""

    asked: str
    found: bool
    words: list[str]
    status_only: bool
    publications: list[Publication]
    other_sources: list[str]
    projections: list[Passage]
    groups: list[Group]
    causes: list[Link]
    effects: list[Link]
    has_more_effects: bool
    owed: list[Obligation]
    has_more_owed: bool
    id: str | None = None
    source: str | None = None
    type: str | None = None
    subject: str | None = None
    position: str | None = None
    appended_at: datetime | None = None
    state: str | None = None
    duplicate_of: str | None = None
    record: Record | None = None

    @property
    def tree(self) -> list[Node]:
        """The effects below each other."""
        roots: list[Node] = []
        open_nodes: list[Node] = []
        for link in self.effects:
            node = Node(link, [])
            del open_nodes[link.depth - 1 :]
            (open_nodes[-1].children if open_nodes else roots).append(node)
            open_nodes.append(node)
        return roots


class EventAnswer(_Answer):
    event: Event


def address_of(asked: str) -> str:
    """The page of an id or position."""
    return PATH + quote(asked, safe="")


def mark_of(word: str) -> str:
    """The class of a state's sign: ready, waiting or failed."""
    return "ready" if word in _FAIR else "waiting" if word in _WAITS else "failed"


def routes(context: PageContext) -> list[BaseRoute]:
    """``/events/`` asks which, ``/events/{asked}`` shows it."""

    async def search(request: Request) -> Response:
        wanted = request.query_params.get("q", "").strip()
        return see_other(address_of(wanted)) if wanted else _form(request, "")

    async def show(request: Request) -> Response:
        text = request.path_params["asked"]
        try:
            wanted = from_text(text, request.query_params.get("source") or None)
        except NotAsked as error:
            return _form(request, text, f"{error}. {error.remedy}", 422)
        position = None if wanted.position is None else str(wanted.position)
        variables = {"id": wanted.id, "source": wanted.source, "position": position}
        event = (await ask(context, request, "event", variables, EventAnswer)).event
        return render(
            context,
            request,
            "event.html",
            status=200 if event.found else 404,
            title=event.type or "Event",
            here="operations",
            asked=text,
            event=event,
            problem="",
            mark_of=mark_of,
            address_of=address_of,
            shown=shown("event", variables),
        )

    def _form(request: Request, asked: str, problem: str = "", status: int = 200) -> Response:
        return render(
            context,
            request,
            "event.html",
            status=status,
            title="Events",
            here="operations",
            asked=asked,
            event=None,
            problem=problem,
            mark_of=mark_of,
            address_of=address_of,
            shown=None,
        )

    return [
        Route(PATH, page(search), methods=["GET"]),
        Route(PATH + "{asked:path}", page(show), methods=["GET"]),
    ]
