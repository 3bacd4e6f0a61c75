"""``/operations``: how far every reader of the log is, live; and one of them, partition by partition."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.auth.guard import current_user
from api.auth.user import User
from api.lag_words import duration, number, per_second
from api.web.asking import Asked, PageContext, ask, ask_as, shown
from api.web.live_pages import LAST_EVENT_ID
from api.web.rendering import page, render

PATH: Final = "/operations"
_CALM: Final = {
    "OK": "ready",
    "EMPTY": "waiting",
    "REPLAYING": "loading",
    "UNKNOWN": "waiting",
    "WARN": "partial",
}


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class History(_Answer):
    """The last hour, one value for each time."""

    times: list[datetime]
    records: list[float]


class _Standing(_Answer):
    state: str
    reason: str
    records: float
    seconds: float | None
    rate: float | None
    eta_seconds: float | None
    headroom_seconds: float | None

    @property
    def look(self) -> str:
        """The class that a state is drawn with."""
        return _CALM.get(self.state, "failed")

    @property
    def waiting(self) -> str:
        return number(int(self.records))

    @property
    def behind(self) -> str:
        return duration(self.seconds)

    @property
    def pace(self) -> str:
        return per_second(self.rate)

    @property
    def clears_in(self) -> str:
        return duration(self.eta_seconds)

    @property
    def headroom(self) -> str:
        return duration(self.headroom_seconds)


class Partition(_Standing):
    topic: str
    partition: int
    next_offset: float | None
    start: float
    end: float
    arrival: float | None
    headroom_records: float | None
    reader: str | None


class Sample(_Answer):
    at: datetime
    next_offset: float | None
    end: float
    records: float


class Group(_Standing):
    group: str
    kind: str
    name: str
    generation: int | None
    latest: bool
    members: int | None
    worst: str
    history: History
    arrival: float | None = None
    slope: float | None = None
    headroom_records: float | None = None
    window: list[Sample] = []
    partitions: list[Partition] = []

    @property
    def title(self) -> str:
        return self.name if self.generation is None else f"{self.name} g{self.generation}"

    @property
    def address(self) -> str:
        return f"{PATH}/groups/{quote(self.group, safe='')}"

    @property
    def peak(self) -> str:
        """What the sparkline shows, in words."""
        top = max(self.history.records, default=0)
        return f"records waiting in the last hour, at most {number(int(top))}"


class Canary(_Answer):
    sent_at: datetime | None
    latency_seconds: float | None
    waiting_seconds: float | None
    reason: str

    @property
    def latency(self) -> str:
        return duration(self.latency_seconds)


class Groups(_Answer):
    sampled_at: datetime | None
    problems: list[str]
    canary: Canary
    groups: list[Group]

    def of(self, *kinds: str) -> Sequence[Group]:
        """In the order of the report."""
        return [one for one in self.groups if one.kind in kinds]

    @property
    def known(self) -> str:
        """What the page shows, for the stream that says when there is more."""
        return _known(self.sampled_at, self.problems)


class _Listed(_Answer):
    consumer_groups: Groups


class _One(_Answer):
    consumer_group: Group | None


class _Looked(_Answer):
    sampled_at: datetime | None
    problems: list[str]


class _State(_Answer):
    consumer_groups: _Looked


def routes(context: PageContext) -> list[BaseRoute]:
    """The overview, one group, and the stream of both."""

    async def overview(request: Request) -> Response:
        found = (await ask(context, request, "consumer_groups", {}, _Listed)).consumer_groups
        return render(
            context,
            request,
            "operations.html",
            title="Operations",
            here="operations",
            report=found,
            shown=shown("consumer_groups", {}),
        )

    async def one(request: Request) -> Response:
        variables = {"name": request.path_params["group"]}
        found = (await ask(context, request, "consumer_group", variables, _One)).consumer_group
        if found is None:
            raise HTTPException(404)
        return render(
            context,
            request,
            "consumer_group.html",
            title=found.title,
            here="operations",
            group=found,
            shown=shown("consumer_group", variables),
        )

    async def live(request: Request) -> Response:
        user = current_user(request)
        if user is None:
            return Response(status_code=401)
        if not user.site_admin:
            return Response(status_code=403)

        async def look() -> str | None:
            return await _looked(context, user)

        known = request.headers.get(LAST_EVENT_ID) or request.query_params.get("known", "")
        return context.live.response(("operations", user.name), look, known)

    return [
        Route(f"{PATH}/live", live, methods=["GET"]),
        Route(f"{PATH}/groups/{{group:path}}", page(one), methods=["GET"]),
        Route(PATH, page(overview), methods=["GET"]),
    ]


async def _looked(context: PageContext, user: User) -> str | None:
    try:
        answer = await ask_as(context, user, "consumer_groups_state", {}, _State)
    except Asked:
        return None
    return _known(answer.consumer_groups.sampled_at, answer.consumer_groups.problems)


def _known(sampled_at: datetime | None, problems: Sequence[str]) -> str:
    return f"{sampled_at.timestamp() if sampled_at is not None else 0:.3f}-{len(problems)}"
