"""The page that creates an insight, and the small JSON answers its script asks for while one types."""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from api.graphql.ids import insight_id_of
from api.web import insight_form
from api.web.asking import Asked, PageContext, ask, shown
from api.web.fields import FieldError
from api.web.insight_form import FRAMES, InsightForm, blank_form, blank_row, check, graphql_input, read_form
from api.web.palette import PALETTE
from api.web.preview import NOTHING_YET, Preview, preview_of
from api.web.rendering import page, render, see_other
from api.web.templating import UNITS, count

_LISTED_REPOSITORIES = 1000
_AT_A_FIELD = frozenset({"INVALID_INPUT", "NOT_SUPPORTED", "NOT_FOUND"})


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class _Validation(_Answer):
    """``notices``: what may surprise in a query that can be run."""

    is_valid: bool
    notices: list[str] = []
    invalid_reason: str | None = None
    position: int | None = None
    length: int | None = None


class _QueryValidated(_Answer):
    validate_insight_query: _Validation


class _ScopeValidated(_Answer):
    validate_scoped_insight_query: _Validation


class _Counted(_Answer):
    number_of_repositories: int | None = None


class _ScopeCounted(_Answer):
    preview_repositories_from_query: _Counted


class _Named(_Answer):
    name: str


class _Names(_Answer):
    nodes: list[_Named]
    total_count: int | None = None


class _NamesAnswer(_Answer):
    repositories: _Names


class _CreatedView(_Answer):
    database_id: str = msgspec.field(name="databaseID")


class _Created(_Answer):
    view: _CreatedView


class _CreatedAnswer(_Answer):
    create_line_chart_search_insight: _Created


def routes(context: PageContext) -> list[BaseRoute]:
    """``/insights/new`` and what its script asks."""

    async def show(request: Request) -> Response:
        return await _form_page(context, request, blank_form())

    async def submit(request: Request) -> Response:
        sent = await request.form(max_files=0, max_fields=2000)
        form, action = read_form(sent), str(sent.get("action", "create"))
        if action == "add-series" and len(form.series) < insight_form.MAX_SERIES:
            form.series.append(blank_row([row.colour for row in form.series]))
            return await _form_page(context, request, form)
        if action.startswith("remove-"):
            number = action.removeprefix("remove-")
            if number.isdigit() and int(number) < len(form.series) and len(form.series) > 1:
                del form.series[int(number)]
            return await _form_page(context, request, form)
        if action == "preview":
            await _check_queries(context, request, form)
            return await _form_page(context, request, form, await preview_of(context, request, form))
        check(form)
        await _check_queries(context, request, form)
        if form.problems:
            return await _form_page(context, request, form)
        return await _create(context, request, form)

    async def query(request: Request) -> Response:
        asked = request.query_params
        problems, notices = await _checked(
            context, request, asked.get("query", ""), asked.get("pattern", "literal")
        )
        return JSONResponse(
            {"problems": [msgspec.to_builtins(problem) for problem in problems], "notices": notices}
        )

    async def preview(request: Request) -> Response:
        form = read_form(await request.form(max_files=0, max_fields=2000))
        shown_part = await preview_of(context, request, form)
        return render(context, request, "_preview.html", preview=shown_part, unit=form.unit)

    async def scope(request: Request) -> Response:
        criteria = request.query_params.get("criteria", "")
        reason = await _scope_problem(context, request, criteria)
        if reason:
            return JSONResponse({"problems": [{"message": reason}], "text": ""})
        matching = await _matching(context, request, criteria)
        text = "" if matching is None else f"{count(matching, 'repository', 'repositories')} now"
        return JSONResponse({"problems": [], "text": text})

    return [
        Route("/insights/new", page(show), methods=["GET"]),
        Route("/insights/new", page(submit), methods=["POST"]),
        Route("/insights/new/query", page(query), methods=["GET"]),
        Route("/insights/new/scope", page(scope), methods=["GET"]),
        Route("/insights/new/preview", page(preview), methods=["POST"]),
    ]


async def _form_page(
    context: PageContext, request: Request, form: InsightForm, preview: Preview = NOTHING_YET
) -> Response:
    names = (
        await ask(context, request, "repository_names", {"first": _LISTED_REPOSITORIES}, _NamesAnswer)
    ).repositories
    if form.scope == "criteria" and form.criteria and not form.criteria_errors:
        form.criteria_count = await _matching(context, request, form.criteria)
    example: dict[str, object] = {"input": graphql_input(form)} if form.value.isdigit() else {}
    return render(
        context,
        request,
        "new.html",
        status=422 if form.problems else 200,
        title="New insight",
        here="insights",
        form=form,
        problems=form.problems,
        blank=blank_row(),
        palette=PALETTE,
        units=UNITS,
        frames=FRAMES,
        repositories=[node.name for node in names.nodes],
        preview=preview,
        unit=form.unit,
        total_repositories=names.total_count if names.total_count is not None else len(names.nodes),
        shown=shown("create_insight", example),
    )


async def _create(context: PageContext, request: Request, form: InsightForm) -> Response:
    variables = {"input": graphql_input(form)}
    try:
        made = await ask(
            context, request, "create_insight", variables, _CreatedAnswer, idempotency_key=form.key
        )
    except Asked as error:
        if error.code == "ACCEPTED_NOT_YET_VISIBLE":
            insight_id = insight_id_of(str(error.errors[0].extensions.get("id", "")))
            return see_other(f"/insights/{insight_id}?accepted")
        if error.code not in _AT_A_FIELD:
            raise
        insight_form.refuse_as_answered(form, error.errors)
        return await _form_page(context, request, form)
    return see_other(f"/insights/{made.create_line_chart_search_insight.view.database_id}")


async def _check_queries(context: PageContext, request: Request, form: InsightForm) -> None:
    """All queries and the scope at once, so that nobody mends one error to be shown the next."""
    for number, row in enumerate(form.series):
        problems, row.query_notices = await _checked(context, request, row.query, row.pattern)
        for problem in problems:
            form.refuse(f"query-{number}", problem)
    if form.scope == "criteria" and form.criteria:
        reason = await _scope_problem(context, request, form.criteria)
        if reason:
            form.refuse("criteria", FieldError(reason))


async def _checked(
    context: PageContext, request: Request, query: str, pattern: str
) -> tuple[list[FieldError], list[str]]:
    """What keeps a query from being run, and what may surprise in one that can be."""
    if not query.strip():
        return [], []
    variables = {"query": insight_form.with_pattern(query, pattern)}
    answer = (
        await ask(context, request, "validate_query", variables, _QueryValidated)
    ).validate_insight_query
    if answer.is_valid:
        return [], answer.notices
    place = {"position": answer.position, "length": answer.length}
    reason = answer.invalid_reason or "This query cannot be run."
    return [insight_form.query_error(reason, query, pattern, place)], []


async def _scope_problem(context: PageContext, request: Request, criteria: str) -> str:
    answer = await ask(context, request, "validate_scope", {"query": criteria}, _ScopeValidated)
    validation = answer.validate_scoped_insight_query
    return "" if validation.is_valid else validation.invalid_reason or "This is not a filter of repositories."


async def _matching(context: PageContext, request: Request, criteria: str) -> int | None:
    answer = await ask(context, request, "count_scope", {"query": criteria}, _ScopeCounted)
    return answer.preview_repositories_from_query.number_of_repositories
