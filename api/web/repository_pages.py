"""The list of repositories, with the form that adds one."""

from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.auth.guard import current_user
from api.demo.choices import to_follow
from api.web.answers import RepositoriesAnswer, freshness, repositories
from api.web.asking import Asked, GraphQLError, PageContext, ask, shown
from api.web.fields import FieldError
from api.web.rendering import page, render, see_other
from schemas.errors import MillstreamError

PAGE_SIZE = 100
ONLY_ADMINS = "Only a site admin may see or do this."
"""Said before a folder of this machine is looked at."""
_REFUSED = frozenset({"INVALID_INPUT", "NOT_SUPPORTED"})


class _Anything(msgspec.Struct, frozen=True):
    """The answer of a mutation that the page does not read."""


def routes(context: PageContext) -> list[BaseRoute]:
    """``/repositories``."""

    async def listed(
        request: Request,
        location: str = "",
        errors: tuple[FieldError, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> Response:
        variables = {"first": PAGE_SIZE, "after": request.query_params.get("after") or None}
        answer = (await ask(context, request, "repositories", variables, RepositoriesAnswer)).repositories
        rows = repositories(answer.nodes)
        return render(
            context,
            request,
            "repositories.html",
            status=422 if errors else 200,
            title="Repositories",
            here="repositories",
            repositories=rows,
            total=answer.total_count if answer.total_count is not None else len(rows),
            waiting=any(row.state == "waiting" for row in rows),
            next_page=f"/repositories?after={answer.page_info.end_cursor}"
            if answer.page_info.has_next_page
            else "",
            freshness=freshness(answer.as_of),
            location=location,
            errors=errors,
            notes=notes,
            shown=shown("repositories", variables),
        )

    async def show(request: Request) -> Response:
        return await listed(request)

    async def add(request: Request) -> Response:
        user = current_user(request)
        if user is None or not user.site_admin:
            raise Asked((GraphQLError(ONLY_ADMINS, extensions={"code": "NOT_PERMITTED"}),))
        form = await request.form(max_files=0, max_fields=10)
        location = str(form.get("location", "")).strip()
        if not location:
            return await listed(request, location, (FieldError("Name a folder or a clone address."),))
        try:
            choice = await run_in_threadpool(_choice, location)
            for place in choice.places:
                await _add(context, request, place)
        except MillstreamError as error:
            if isinstance(error, Asked) and error.code not in _REFUSED:
                raise
            return await listed(request, location, (_refusal(error),))
        return await listed(request, notes=choice.notes) if choice.notes else see_other("/repositories")

    return [
        Route("/repositories", page(show), methods=["GET"]),
        Route("/repositories", page(add), methods=["POST"]),
    ]


class _Choice(msgspec.Struct, frozen=True):
    """Inputs of ``addRepository``, and what to say about them."""

    places: tuple[dict[str, str], ...]
    notes: tuple[str, ...] = ()


def _choice(location: str) -> _Choice:
    """What stands at a location. Folders are looked at here, as ``millstream repo add`` does.

    Raises MillstreamError where a folder is no git repository, with the remedy.
    """
    if place_of(location) == "cloneUrl" or not location.startswith(("/", "~")):
        return _Choice(({place_of(location): location},))
    found = to_follow(location, folder=Path("/"))
    return _Choice(tuple({"path": str(one.path)} for one in found.repositories), found.left_out)


async def _add(context: PageContext, request: Request, place: dict[str, str]) -> None:
    try:
        await ask(context, request, "add_repository", {"input": place}, _Anything)
    except Asked as error:
        if error.code != "ACCEPTED_NOT_YET_VISIBLE":
            raise


def _refusal(error: MillstreamError) -> FieldError:
    if isinstance(error, Asked):
        return FieldError(f"{error} {error.remedy}".strip())
    return FieldError(f"{error}; to mend it: {error.remedy}" if error.remedy else str(error))


def place_of(location: str) -> str:
    """Which input field of ``addRepository`` a location is for: ``path`` for folders, ``cloneUrl`` for addresses."""
    if location.startswith(("/", "~", ".")):
        return "path"
    head, _, tail = location.partition(":")
    is_scp_like = bool(tail) and "/" not in head
    return "cloneUrl" if "://" in location or is_scp_like else "path"
