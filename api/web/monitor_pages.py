"""Code monitors: the list, one with its history, one event with its exact results."""

from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.graphql import ids
from api.web.answers import freshness
from api.web.asking import PageContext, ask, shown
from api.web.monitor_answers import Anything, EventAnswer, Monitor, MonitorAnswer, MonitorsAnswer
from api.web.rendering import page, render, see_other

PAGE_SIZE = 50
_NOT_FOUND = 404
_RUNNING_MS = 1_500
_WAITING_MS = 5_000


def routes(context: PageContext) -> list[BaseRoute]:
    """``/code-monitoring`` and what lies below one monitor."""

    async def listed(request: Request) -> Response:
        variables = {"first": PAGE_SIZE, "after": request.query_params.get("after") or None}
        answer = (await ask(context, request, "monitors", variables, MonitorsAnswer)).current_user.monitors
        return render(
            context,
            request,
            "monitors.html",
            title="Code monitoring",
            here="monitors",
            monitors=answer.nodes,
            total=answer.total_count,
            next_page=f"/code-monitoring?after={answer.page_info.end_cursor}"
            if answer.page_info.has_next_page
            else "",
            freshness=freshness(answer.as_of),
            shown=shown("monitors", variables),
        )

    async def one(request: Request) -> Response:
        only = request.query_params.get("only") == "results"
        variables = {
            "id": request.path_params["id"],
            "after": request.query_params.get("after") or None,
            "only": only,
        }
        found = await monitor_of(context, request, variables)
        events = found.trigger.events
        return render(
            context,
            request,
            "monitor.html",
            title=found.description,
            here="monitors",
            monitor=found,
            only=only,
            next_page=f"?{'only=results&' if only else ''}after={events.page_info.end_cursor}"
            if events.page_info.has_next_page
            else "",
            follow_ms=_follow_ms(found, is_newest=variables["after"] is None),
            shown=shown("monitor", variables),
        )

    async def event(request: Request) -> Response:
        _, key = ids.parse_node_id(request.path_params["id"])
        number = request.path_params["number"]
        identity = request.path_params["id"]
        variables = {"id": ids.node_id(ids.MONITOR_EVENT, f"{key}/{number}"), "monitor": identity}
        answer = await ask(context, request, "monitor_event", variables, EventAnswer)
        found, monitor = answer.node, answer.monitor
        if found is None or monitor is None:
            raise HTTPException(_NOT_FOUND)
        return render(
            context,
            request,
            "monitor_event.html",
            title=f"Event of {monitor.description}",
            here="monitors",
            monitor_id=identity,
            monitor=monitor,
            event=found,
            running=any(
                sent.status == "PENDING"
                for action in found.actions.nodes
                for sent in (action.events.nodes if action.events else ())
            ),
            shown=shown("monitor_event", variables),
        )

    async def ask_delete(request: Request) -> Response:
        identity = request.path_params["id"]
        found = await monitor_of(context, request, {"id": identity})
        address = f"/code-monitoring/{quote(identity)}"
        return render(
            context,
            request,
            "ask_delete.html",
            title="Delete the code monitor?",
            here="monitors",
            what=found.description,
            text="It looks no more, nobody is told any more, and its history is gone from these pages.",
            yes="Delete the monitor",
            target=f"{address}/delete",
            back=address,
        )

    async def act(request: Request) -> Response:
        identity, action = request.path_params["id"], request.path_params["action"]
        variables: dict[str, object] = {"id": identity}
        if action in ("enable", "disable"):
            variables["enabled"] = action == "enable"
        document = {
            "enable": "toggle_monitor",
            "disable": "toggle_monitor",
            "run": "run_monitor",
            "delete": "delete_monitor",
        }.get(action)
        if document is None:
            raise HTTPException(_NOT_FOUND)
        await ask(context, request, document, variables, Anything)
        return see_other("/code-monitoring" if action == "delete" else f"/code-monitoring/{identity}")

    return [
        Route("/code-monitoring", page(listed), methods=["GET"]),
        Route("/code-monitoring/{id}", page(one), methods=["GET"]),
        Route("/code-monitoring/{id}/events/{number:int}", page(event), methods=["GET"]),
        Route("/code-monitoring/{id}/delete", page(ask_delete), methods=["GET"]),
        Route("/code-monitoring/{id}/{action}", page(act), methods=["POST"]),
    ]


def _follow_ms(monitor: Monitor, *, is_newest: bool) -> int:
    """How often the history is asked for again: soon while a run goes on, now and then while one may begin; 0: never."""
    if any(run.status == "PENDING" for run in monitor.trigger.events.nodes):
        return _RUNNING_MS
    return _WAITING_MS if monitor.enabled and is_newest else 0


async def monitor_of(context: PageContext, request: Request, variables: dict[str, object]) -> Monitor:
    """The monitor with its history. Raises HTTPException 404."""
    found = (await ask(context, request, "monitor", variables, MonitorAnswer)).node
    if found is None:
        raise HTTPException(_NOT_FOUND)
    return found
