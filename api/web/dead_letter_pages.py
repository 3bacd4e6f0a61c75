"""``/operations/dead-letters``: what projections put aside, one of them whole, and what an operator orders about it."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.commands.dead_letters import NAMES
from api.web.asking import Asked, PageContext, ask, shown
from api.web.dead_letters import (
    PATH,
    ListAnswer,
    Order,
    OrderAnswer,
    Record,
    RecordAnswer,
    dropped_together,
    filter_of,
    merged,
    rows_of,
)
from api.web.rendering import page, render

_SHOWN_AS_WORDS: Final = frozenset({"REFUSED", "INVALID_INPUT", "ACCEPTED_NOT_YET_VISIBLE", "REJECTED"})
_FIELDS: Final = ("projection", "kind", "topic", "aggregate", "reason", "path", "waiting")


def routes(context: PageContext) -> list[BaseRoute]:
    """The list with its filters, one record, and what the buttons order."""

    async def listed(
        request: Request,
        given: Mapping[str, str],
        *,
        order: Order | None = None,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        variables: dict[str, object] = {"filter": filter_of(given), "after": given.get("after") or None}
        found = await ask(context, request, "dead_letters", variables, ListAnswer)
        kept = {name: given[name] for name in _FIELDS if given.get(name)}
        end = found.dead_letters.page_info.end_cursor
        return render(
            context,
            request,
            "dead_letters.html",
            status=status,
            title="Dead letters",
            here="operations",
            found=found.dead_letters,
            records=rows_of(found.dead_letters.nodes),
            redrivable=any(one.quarantined for one in found.dead_letters.nodes),
            droppable=sum(map(len, dropped_together(found.dead_letters.nodes).values())),
            decisions=found.operator_decisions.nodes,
            given=given,
            filtered=bool(kept),
            older=f"{PATH}?{urlencode({**kept, 'after': end or ''})}",
            names=NAMES,
            order=order,
            problem=problem,
            shown=shown("dead_letters", variables),
        )

    async def show(request: Request) -> Response:
        try:
            return await listed(request, request.query_params)
        except Asked as error:
            if error.code != "INVALID_INPUT" or "after" not in request.query_params:
                raise
            return await listed(request, {}, problem=str(error), status=422)

    async def redrive_all(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=20)
        given = {name: str(value) for name, value in form.items()}
        if given.get("do", "").endswith("drop"):
            return await drop_all(request, given)
        if not given.get("projection"):
            return await listed(
                request, given, problem="Choose a projection first: one is redriven at a time.", status=422
            )
        variables = {
            "projection": given["projection"],
            "filter": filter_of(given),
            "dryRun": given.get("do") != "redrive",
            "reason": given.get("note") or None,
        }
        order, problem = await _ordered(context, request, "redrive_all", variables)
        return await listed(request, given, order=order, problem=problem, status=422 if problem else 200)

    async def drop_all(request: Request, given: Mapping[str, str]) -> Response:
        """What the page lists and can never be folded, one order a projection."""
        note = given.get("note", "").strip()
        if not note:
            return await listed(request, given, problem="Say why: it is kept for ever.", status=422)
        variables: dict[str, object] = {"filter": filter_of(given), "after": given.get("after") or None}
        found = (await ask(context, request, "dead_letters", variables, ListAnswer)).dead_letters
        orders: list[Order] = []
        problem = ""
        for projection, positions in dropped_together(found.nodes).items():
            variables = {
                "projection": projection,
                "positions": positions,
                "dryRun": given.get("do") != "drop",
                "reason": note,
            }
            order, problem = await _ordered(context, request, "drop_records", variables)
            if order is None:
                break
            orders.append(order)
        return await listed(
            request, given, order=merged(orders), problem=problem, status=422 if problem else 200
        )

    async def one(request: Request) -> Response:
        return await _shown(context, request)

    async def decide(request: Request) -> Response:
        record = await _record(context, request)
        form = await request.form(max_files=0, max_fields=10)
        do, note = str(form.get("do", "")), str(form.get("note", "")).strip()
        entry = record.entry
        dry_run = do.startswith("try-")
        if do.endswith("redrive"):
            place = {"topic": entry.topic, "partition": entry.partition, "aggregate": entry.aggregate}
            variables: dict[str, object] = {
                "projection": entry.projection,
                "aggregates": [place],
                "dryRun": dry_run,
                "reason": note or None,
            }
            order, problem = await _ordered(context, request, "redrive_aggregates", variables)
        elif do.endswith("drop"):
            if not note:
                return await _shown(context, request, problem="Say why: it is kept for ever.", status=422)
            variables = {
                "projection": entry.projection,
                "positions": [entry.position],
                "dryRun": dry_run,
                "reason": note,
            }
            order, problem = await _ordered(context, request, "drop_records", variables)
        else:
            raise HTTPException(404)
        return await _shown(
            context,
            request,
            before=record,
            order=order,
            problem=problem,
            note=note,
            status=422 if problem else 200,
        )

    return [
        Route(PATH, page(show), methods=["GET"]),
        Route(PATH, page(redrive_all), methods=["POST"]),
        Route(PATH + "/{id:path}", page(one), methods=["GET"]),
        Route(PATH + "/{id:path}", page(decide), methods=["POST"]),
    ]


async def _ordered(
    context: PageContext, request: Request, document: str, variables: Mapping[str, object]
) -> tuple[Order | None, str]:
    """The order, or why there is none."""
    try:
        return (await ask(context, request, document, variables, OrderAnswer)).order, ""
    except Asked as error:
        if error.code not in _SHOWN_AS_WORDS:
            raise
        return None, f"{error} {error.remedy}".strip()


async def _record(context: PageContext, request: Request) -> Record:
    answer = await ask(context, request, "dead_letter", {"id": request.path_params["id"]}, RecordAnswer)
    if answer.dead_letter is None:
        raise HTTPException(404)
    return answer.dead_letter


async def _shown(
    context: PageContext,
    request: Request,
    *,
    before: Record | None = None,
    order: Order | None = None,
    problem: str = "",
    note: str = "",
    status: int = 200,
) -> Response:
    """The record as it is now; ``before`` is what it was, where the order may have taken it away."""
    variables = {"id": request.path_params["id"]}
    found = (await ask(context, request, "dead_letter", variables, RecordAnswer)).dead_letter
    record = found or before
    if record is None:
        raise HTTPException(404)
    return render(
        context,
        request,
        "dead_letter.html",
        status=status,
        title=record.entry.position,
        here="operations",
        record=record,
        entry=record.entry,
        gone=found is None,
        order=order,
        problem=problem,
        note=note,
        shown=shown("dead_letter", variables),
    )
