"""``/operations/projections``: generations and rebuilds, what they do now, and what an operator may do with them."""

from datetime import UTC, datetime

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.web.asking import Asked, PageContext, ask, shown
from api.web.outcomes import outcome_page, who_asks
from api.web.projections import DiffAnswer, Projection, ProjectionsAnswer, moment, size
from api.web.rendering import page, render, see_other

PATH = "/operations/projections"
_STEPS = frozenset({"pause", "resume", "cancel", "accept"})
_SHOWN_AS_WORDS = frozenset({"REFUSED", "INVALID_INPUT"})
_MOVING_MS, _STILL_MS = 1_000, 5_000


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the asking page says; the projection's name has to be typed."""

    title: str
    text: str
    yes: str


class _Anything(msgspec.Struct, frozen=True):
    """The answer of a mutation that the page does not read."""


def routes(context: PageContext) -> list[BaseRoute]:
    """The list, the comparison, the questions, and what the buttons do."""

    async def listed(request: Request, problem: str = "", status: int = 200) -> Response:
        found = (await ask(context, request, "projections", {}, ProjectionsAnswer)).projections
        moving = any(one.is_open for each in found for one in each.rebuilds)
        return render(
            context,
            request,
            "projections.html",
            status=status,
            title="Projections",
            here="operations",
            projections=found,
            problem=problem,
            poll_ms=_MOVING_MS if moving else _STILL_MS,
            size=size,
            when=moment,
            shown=shown("projections", {}),
        )

    async def show(request: Request) -> Response:
        return await listed(request)

    async def do(request: Request, document: str, variables: dict[str, object]) -> Response:
        """What was refused is said above the list."""
        try:
            await ask(context, request, document, variables, _Anything)
        except Asked as error:
            if error.code not in _SHOWN_AS_WORDS:
                raise
            return await listed(request, f"{error}. {error.remedy}".strip(), 422)
        return see_other(PATH)

    async def rebuild(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=10)
        given = str(form.get("until", "")).strip()
        try:
            until = _time(given) if given else None
        except ValueError:
            return await listed(
                request, f"{given!r} is no time: write 2026-03-01, or 2026-03-01T12:00Z.", 422
            )
        return await do(
            request,
            "rebuild_order",
            {
                "projection": request.path_params["name"],
                "until": None if until is None else until.isoformat(),
                "swap": "no_swap" not in form,
                "reason": str(form.get("reason", "")).strip() or None,
            },
        )

    async def step(request: Request) -> Response:
        if request.path_params["step"] not in _STEPS:
            raise HTTPException(404)
        return await do(
            request, f"rebuild_{request.path_params['step']}", {"id": str(request.path_params["id"])}
        )

    async def question(request: Request) -> Response:
        found = await _one(context, request)
        return found if isinstance(found, Response) else _asked(context, request, found)

    async def decide(request: Request) -> Response:
        name, action = request.path_params["name"], request.path_params["action"]
        form = await request.form(max_files=0, max_fields=10)
        if str(form.get("typed", "")).strip() != name:
            found = await _one(context, request)
            if isinstance(found, Response):
                return found
            return _asked(context, request, found, problem=f"Type {name} to go on.", status=422)
        if action == "rollback":
            return await do(request, "projection_rollback", {"projection": name})
        return await do(request, "generation_drop", {"projection": name, "generation": _generation(request)})

    async def compared(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            a, b = (int(request.query_params[side]) for side in ("a", "b"))
        except (KeyError, ValueError):
            raise HTTPException(404) from None
        variables = {"projection": name, "a": a, "b": b}
        answer = await ask(context, request, "projection_diff", variables, DiffAnswer)
        return render(
            context,
            request,
            "projection_diff.html",
            title=f"{name}: generations {a} and {b}",
            here="operations",
            name=name,
            a=a,
            b=b,
            diff=answer.projection_diff,
            shown=shown("projection_diff", variables),
        )

    return [
        Route(PATH, page(show), methods=["GET"]),
        Route(f"{PATH}/rebuilds/{{id:int}}/{{step}}", page(step), methods=["POST"]),
        Route(f"{PATH}/{{name}}/rebuild", page(rebuild), methods=["POST"]),
        Route(f"{PATH}/{{name}}/diff", page(compared), methods=["GET"]),
        Route(f"{PATH}/{{name}}/{{action}}", page(question), methods=["GET"]),
        Route(f"{PATH}/{{name}}/{{action}}", page(decide), methods=["POST"]),
    ]


async def _one(context: PageContext, request: Request) -> Projection | Response:
    """The projection of the address; a page where there is nothing to ask about."""
    name, action = request.path_params["name"], request.path_params["action"]
    if action not in ("rollback", "drop"):
        raise HTTPException(404)
    try:
        (found,) = (await ask(context, request, "projections", {"name": name}, ProjectionsAnswer)).projections
    except Asked as error:
        if error.code != "INVALID_INPUT":
            raise
        return outcome_page(404, **who_asks(request.scope))
    return found


def _asked(
    context: PageContext, request: Request, found: Projection, *, problem: str = "", status: int = 200
) -> Response:
    drop = request.path_params["action"] == "drop"
    number = _generation(request) if drop else 0
    return render(
        context,
        request,
        "projection_ask.html",
        status=status,
        title=f"Drop generation {number} of {found.name}?" if drop else f"Roll {found.name} back?",
        here="operations",
        name=found.name,
        question=_dropping(found, number) if drop else _going_back(found),
        action=str(request.url.path) + (f"?generation={number}" if drop else ""),
        problem=problem,
    )


def _dropping(found: Projection, number: int) -> Question:
    one = next((each for each in found.generations if each.number == number), None)
    if one is None:
        raise HTTPException(404)
    return Question(
        title=f"Drop generation {number} of {found.name}?",
        text=f"It is {one.words}. Its {int(one.rows):,} rows ({size(one.size_bytes)}) are gone for good; the log is not "
        "touched, so that a rebuild can make them again.",
        yes="Drop the generation",
    )


def _going_back(found: Projection) -> Question:
    back = found.way_back
    to = f"generation {back.number}" if back is not None else "the generation that was live before"
    return Question(
        title=f"Roll {found.name} back?",
        text=f"Readers are led from generation {found.live_generation} to {to}, at once. Where that was not kept "
        "current, this is refused.",
        yes="Roll back",
    )


def _generation(request: Request) -> int:
    given = request.query_params.get("generation", "")
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise HTTPException(404)
    return int(given)


def _time(text: str) -> datetime:
    """A day or a moment; without a zone it is UTC. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
