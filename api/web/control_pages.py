"""What people decide about an insight: pause, resume, cancel, retry, move, delete. Plain forms; grave ones ask first."""

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.graphql.ids import insight_node_id
from api.web.answers import InsightAnswer, insight
from api.web.asking import Asked, PageContext, ask
from api.web.backfill import ACTIONS, CANCEL, DELETE, Action
from api.web.model import Insight
from api.web.outcomes import outcome_page, who_asks
from api.web.rendering import page, render, see_other


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the asking page says. ``yes`` is the button that does it."""

    title: str
    text: str
    yes: str


_QUESTIONS = {
    CANCEL.name: Question(
        title="Cancel the counting?",
        text="What waits is not counted; what is being counted ends. Points that stay open are shown as gaps or lower "
        "bounds. You can ask for the rest again later.",
        yes="Cancel the counting",
    ),
    DELETE.name: Question(
        title="Delete this insight?",
        text="Its page is gone, and what waits to be counted for it alone is not counted any more. Lines that other insights "
        "show too stay there. This cannot be undone.",
        yes="Delete the insight",
    ),
}


class _Anything(msgspec.Struct, frozen=True):
    """The answer of a mutation that the page does not read."""


def routes(context: PageContext) -> list[BaseRoute]:
    """``/insights/{id}/ask/{action}`` asks, ``POST /insights/{id}/{action}`` does."""

    async def question(request: Request) -> Response:
        action = _action(request)
        asked = _QUESTIONS.get(action.name)
        if asked is None:
            raise HTTPException(404)
        view = await _view(context, request)
        if view is None:
            return outcome_page(404, **who_asks(request.scope))
        return render(
            context,
            request,
            "ask.html",
            title=asked.title,
            here="insights",
            insight=view,
            question=asked,
            action=action,
        )

    async def decide(request: Request) -> Response:
        action, insight_id = _action(request), request.path_params["id"]
        document = "delete_insight" if action is DELETE else f"backfill_{action.name}"
        try:
            await ask(context, request, document, {"id": insight_node_id(insight_id)}, _Anything)
        except Asked as error:
            if error.code != "ACCEPTED_NOT_YET_VISIBLE":
                raise
        return see_other("/insights" if action is DELETE else f"/insights/{insight_id}")

    return [
        Route("/insights/{id:int}/ask/{action}", page(question), methods=["GET"]),
        Route("/insights/{id:int}/{action}", page(decide), methods=["POST"]),
    ]


def _action(request: Request) -> Action:
    found = ACTIONS.get(request.path_params["action"])
    if found is None:
        raise HTTPException(404)
    return found


async def _view(context: PageContext, request: Request) -> Insight | None:
    variables = {"id": insight_node_id(request.path_params["id"])}
    nodes = (await ask(context, request, "insight", variables, InsightAnswer)).insight_views.nodes
    return insight(nodes[0]) if nodes else None
