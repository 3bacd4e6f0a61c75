"""``/site-admin/users``: who has an account, with plain forms to open, promote and close one, and to make tokens."""

from datetime import datetime
from typing import Final

import msgspec
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.web.asking import Asked, PageContext, ask, shown
from api.web.fields import FieldError
from api.web.rendering import page, render, see_other

PATH: Final = "/site-admin/users"
REFUSED: Final = frozenset({"INVALID_INPUT", "REJECTED", "REFUSED", "NOT_FOUND"})
_DOCUMENTS: Final = {
    "promote": ("set_site_admin", {"admin": True}),
    "demote": ("set_site_admin", {"admin": False}),
    "close": ("delete_user", {}),
    "revoke": ("delete_token", {}),
}
SCOPES: Final = ("read", "write", "admin")


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class _Anything(msgspec.Struct, frozen=True):
    """The answer of a mutation that the page does not read."""


class Email(_Answer):
    email: str


class Token(_Answer):
    id: str
    note: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = None


class Tokens(_Answer):
    total_count: int
    nodes: list[Token]


class Account(_Answer):
    id: str
    username: str
    site_admin: bool
    emails: list[Email]
    access_tokens: Tokens
    display_name: str | None = None
    created_at: datetime | None = None


class _PageInfo(_Answer):
    end_cursor: str | None
    has_next_page: bool


class _Page(_Answer):
    nodes: list[Account]
    total_count: int
    page_info: _PageInfo


class UsersAnswer(_Answer):
    users: _Page


class Made(_Answer):
    """The text of a token that was made."""

    class Token(msgspec.Struct):
        token: str

    create_access_token: Token


class Told(msgspec.Struct, frozen=True):
    """A token that was made just now: the page shows it once."""

    username: str
    token: str


def routes(context: PageContext) -> list[BaseRoute]:
    """The list; ``POST`` to it opens an account; ``POST /site-admin/users/{action}`` changes one."""

    async def listed(
        request: Request,
        *,
        errors: tuple[FieldError, ...] = (),
        username: str = "",
        email: str = "",
        told: Told | None = None,
    ) -> Response:
        variables = {
            "after": request.query_params.get("after") or None,
            "find": request.query_params.get("find") or None,
        }
        answer = await ask(context, request, "users", variables, UsersAnswer)
        info = answer.users.page_info
        response = render(
            context,
            request,
            "users.html",
            status=422 if errors else 200,
            title="Users",
            here="operations",
            users=answer.users.nodes,
            total=answer.users.total_count,
            next_page=f"{PATH}?after={info.end_cursor}" if info.has_next_page else "",
            errors=errors,
            username=username,
            email=email,
            told=told,
            scopes=SCOPES,
            shown=shown("users", variables),
        )
        response.headers["cache-control"] = "no-store"
        return response

    async def show(request: Request) -> Response:
        return await listed(request)

    async def create(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=10)
        username, email = str(form.get("username", "")).strip(), str(form.get("email", "")).strip()
        try:
            await ask(
                context, request, "create_user", {"username": username, "email": email or None}, _Anything
            )
        except Asked as error:
            if error.code not in REFUSED:
                raise
            message = FieldError(f"{error} {error.remedy}".strip())
            return await listed(request, errors=(message,), username=username, email=email)
        return see_other(PATH)

    async def change(request: Request) -> Response:
        action = request.path_params["action"]
        form = await request.form(max_files=0, max_fields=10)
        identity = str(form.get("id", ""))
        if action == "token":
            return await _token(request, identity, form)
        if action not in _DOCUMENTS:
            raise HTTPException(404)
        document, more = _DOCUMENTS[action]
        try:
            await ask(context, request, document, {"id": identity, **more}, _Anything)
        except Asked as error:
            if error.code not in REFUSED:
                raise
            return await listed(request, errors=(FieldError(f"{error} {error.remedy}".strip()),))
        return see_other(PATH)

    async def _token(request: Request, identity: str, form: FormData) -> Response:
        scopes = [str(one) for one in form.getlist("scope")]
        given = {"id": identity, "scopes": scopes, "note": str(form.get("note", ""))}
        try:
            made = await ask(context, request, "create_token", given, Made)
        except Asked as error:
            if error.code not in REFUSED:
                raise
            return await listed(request, errors=(FieldError(f"{error} {error.remedy}".strip()),))
        return await listed(request, told=Told(str(form.get("username", "")), made.create_access_token.token))

    return [
        Route(PATH, page(show), methods=["GET"]),
        Route(PATH, page(create), methods=["POST"]),
        Route(PATH + "/{action}", page(change), methods=["POST"]),
    ]
