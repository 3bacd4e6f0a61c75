"""``/insights/{id}/live``: tells an open page that its insight has changed. What is told is a digest, never data."""

import hashlib
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.auth.guard import current_user
from api.auth.user import User
from api.graphql.ids import insight_node_id
from api.http.live import GONE
from api.web.answers import InsightAnswer, View
from api.web.asking import Asked, PageContext, ask_as

LAST_EVENT_ID = "last-event-id"


def routes(context: PageContext) -> list[BaseRoute]:
    """The stream. ``?known=`` is the digest of what the page shows."""

    async def live(request: Request) -> Response:
        user = current_user(request)
        if user is None:
            return Response(status_code=401)
        insight_id: int = request.path_params["id"]

        async def look() -> str | None:
            return await _state(context, user, insight_id)

        known = request.headers.get(LAST_EVENT_ID) or request.query_params.get("known", "")
        return context.live.response(("insight", user.name, insight_id), look, known)

    return [Route("/insights/{id:int}/live", live, methods=["GET"])]


def digest(views: Sequence[View]) -> str:
    """Short text that differs when anything differs that the page of an insight shows."""
    if not views:
        return GONE
    return hashlib.blake2b(msgspec.json.encode(views), digest_size=9).hexdigest()


async def _state(context: PageContext, user: User, insight_id: int) -> str | None:
    try:
        answer = await ask_as(context, user, "insight", {"id": insight_node_id(insight_id)}, InsightAnswer)
    except Asked:
        return None  # the page itself says what is wrong, when it asks
    return digest(answer.insight_views.nodes)
