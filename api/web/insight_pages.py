"""The list of insights, one insight with its chart, and its data as files."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.graphql.ids import insight_node_id
from api.web.answers import AsOf, CellsAnswer, InsightAnswer, InsightsAnswer, View, cells, freshness, insight
from api.web.asking import PageContext, ask, shown
from api.web.drawing import NOW, Cells, breakdown, chart_data, checks, table_rows
from api.web.faults import faults
from api.web.live_pages import digest
from api.web.model import Cell, Insight, Point
from api.web.outcomes import outcome_page, who_asks
from api.web.past import generations_of, past
from api.web.rendering import page, render, see_other
from api.web.templating import iso

PAGE_SIZE = 25
_CELLS_IN_PAGE = 4_000
"""Up to so many cells the hover of every point knows its commit; beyond, only the chosen frame is asked for."""
_STILL_COMING_S = 2
_SHOWN_CHARACTERS = 80
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def routes(context: PageContext) -> list[BaseRoute]:
    """``/``, ``/insights``, ``/insights/{id}`` and its files."""

    async def home(request: Request) -> Response:
        return see_other("/insights")

    async def listed(request: Request) -> Response:
        find = request.query_params.get("find", "").strip()
        after = request.query_params.get("after") or None
        variables = {"first": PAGE_SIZE, "after": after, "find": find or None}
        answer = await ask(context, request, "insights", variables, InsightsAnswer)
        views = answer.insight_views
        following = {"find": find, "after": views.page_info.end_cursor or ""}
        return render(
            context,
            request,
            "insights.html",
            title="Insights",
            here="insights",
            insights=[insight(view) for view in _newest_first(views.nodes)],
            total=views.total_count if views.total_count is not None else len(views.nodes),
            find=find,
            next_page=f"/insights?{_encoded(following)}" if views.page_info.has_next_page else "",
            repository_count=answer.repositories.total_count or 0,
            freshness=freshness(views.as_of),
            shown=shown("insights", variables),
        )

    async def one(request: Request) -> Response:
        found = await _find(context, request)
        if found is None:
            return _missing(request)
        view, as_of, variables, known = found
        selected = _selected(request, view)
        counted = await _cells(context, request, view, selected)
        rows = breakdown(view, counted, selected) if selected else []
        return render(
            context,
            request,
            "insight.html",
            title=view.title,
            here="insights",
            insight=view,
            freshness=freshness(as_of),
            past=past(generations_of(request), as_of),
            selected=selected,
            no_frame="" if selected else request.query_params.get("at", "")[:_SHOWN_CHARACTERS],
            cells=rows,
            checks=checks(view, rows),
            rows=table_rows(view),
            chart=chart_data(view, counted, selected),
            faults=faults(view, counted),
            known=known,
            next_point=None if view.without_scope else view.next_frame(datetime.now(UTC)),
            shown=shown("insight", variables, generations_of(request)),
        )

    async def as_csv(request: Request) -> Response:
        found = await _find(context, request)
        return (
            _missing(request)
            if found is None
            else _file(_csv(found[0]), "text/csv; charset=utf-8", found[0], "csv")
        )

    async def as_json(request: Request) -> Response:
        found = await _find(context, request)
        return (
            _missing(request)
            if found is None
            else _file(_json(found[0]), "application/json", found[0], "json")
        )

    return [
        Route("/", page(home), methods=["GET"]),
        Route("/insights", page(listed), methods=["GET"]),
        Route("/insights/{id:int}", page(one), methods=["GET"]),
        Route("/insights/{id:int}/data.csv", page(as_csv), methods=["GET"]),
        Route("/insights/{id:int}/data.json", page(as_json), methods=["GET"]),
    ]


def _newest_first(nodes: Sequence[View]) -> list[View]:
    """Those of one page by creation; pages follow each other by id, which is the order of the API."""
    return sorted(nodes, key=lambda node: node.created_at or _LONG_AGO, reverse=True)


async def _find(
    context: PageContext, request: Request
) -> tuple[Insight, Sequence[AsOf], Mapping[str, object], str] | None:
    """The insight that the address names, how fresh it is, what was asked, and its digest; None where there is none."""
    variables = {"id": insight_node_id(request.path_params["id"])}
    answer = await ask(context, request, "insight", variables, InsightAnswer, at=generations_of(request))
    views = answer.insight_views
    if not views.nodes:
        return None
    return insight(views.nodes[0]), views.as_of, variables, digest(views.nodes)


def _missing(request: Request) -> Response:
    if "accepted" in request.query_params:
        return outcome_page(
            202,
            title="Accepted, not visible yet",
            lines=("The insight is on the log. This page shows it as soon as it is applied.",),
            refresh_s=_STILL_COMING_S,
            **who_asks(request.scope),
        )
    return outcome_page(404, **who_asks(request.scope))


def _selected(request: Request, view: Insight) -> datetime | None:
    """The frame that ``?at=`` names, if it is one of this insight; ``now`` names the newest counts."""
    given = request.query_params.get("at", "")
    if given == NOW:
        return view.now_at
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at if at in view.times else None


async def _cells(context: PageContext, request: Request, view: Insight, selected: datetime | None) -> Cells:
    times: set[str | None] = {None}
    if view.progress.planned > _CELLS_IN_PAGE:
        at_fault = view.newest_incomplete if selected is None else selected
        times = set() if at_fault is None else _counted_at(view, at_fault)
    found: dict[tuple[str, datetime], Sequence[Cell]] = {}
    for at in times:
        variables = {"id": insight_node_id(request.path_params["id"]), "at": at}
        answer = await ask(context, request, "cells", variables, CellsAnswer, at=generations_of(request))
        found.update(cells(answer, context.settings.home, view))
    return found


def _counted_at(view: Insight, selected: datetime) -> set[str | None]:
    """The times of a column as the API calls them: the newest counts of the lines have one each."""
    if selected != view.now_at:
        return {iso(selected)}
    points = (line.now for line in view.series)
    return {iso(point.counted_at) for point in points if point is not None and point.counted_at is not None}


def _csv(view: Insight) -> bytes:
    """One row per series and frame; ``value`` is empty where the frame is missing. ``snapshot``: the newest count."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(("title", "label", "query", "time", "value", "complete", "reasons", "snapshot"))
    for series in view.series:
        for point in series.drawn:
            writer.writerow(
                (
                    _cell_text(view.title),
                    _cell_text(series.label),
                    _cell_text(series.query),
                    iso(point.counted_at or point.time),
                    "" if point.value is None else point.value,
                    "true" if point.complete else "false",
                    "; ".join(point.reasons),
                    "true" if point.counted_at else "false",
                )
            )
    return text.getvalue().encode()


def _cell_text(text: str) -> str:
    # Spreadsheets run what begins like a formula; an apostrophe makes it text.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _json(view: Insight) -> bytes:
    series = [
        {
            "id": line.id,
            "label": line.label,
            "query": line.query,
            "points": [_point_json(point) for point in line.points],
            "snapshot": None if line.now is None else _point_json(line.now),
        }
        for line in view.series
    ]
    whole = {"id": view.id, "title": view.title, "isLoadingData": view.loading, "series": series}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2)


def _point_json(point: Point) -> dict[str, object]:
    time = iso(point.counted_at or point.time)
    return {"dateTime": time, "value": point.value, "complete": point.complete, "reasons": point.reasons}


def _file(content: bytes, media_type: str, view: Insight, ending: str) -> Response:
    name = f"insight-{view.id}.{ending}"
    return Response(
        content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'}
    )


def _encoded(parameters: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in parameters.items() if value})
