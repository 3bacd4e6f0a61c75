"""``/account``: who is logged in, and the own tokens, with forms to make and revoke one."""

from typing import Final

import msgspec
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.auth.user import ADMIN_NAME
from api.web.asking import Asked, PageContext, ask, shown
from api.web.fields import FieldError
from api.web.rendering import page, render, see_other
from api.web.user_pages import REFUSED, SCOPES, Account, Made

PATH: Final = "/account"
_MAX_FIELDS: Final = 10


class AccountAnswer(msgspec.Struct, rename="camel"):
    """The caller."""

    current_user: Account


class _Anything(msgspec.Struct, frozen=True):
    """The answer of a mutation that the page does not read."""


def routes(context: PageContext) -> list[BaseRoute]:
    """The page, and what its forms post to."""

    async def listed(
        request: Request, *, errors: tuple[FieldError, ...] = (), note: str = "", token: str = ""
    ) -> Response:
        me = (await ask(context, request, "account", {}, AccountAnswer)).current_user
        response = render(
            context,
            request,
            "account.html",
            status=422 if errors else 200,
            title="Your account",
            here="account",
            me=me,
            is_local=me.username == ADMIN_NAME,
            scopes=SCOPES if me.site_admin else SCOPES[:-1],
            errors=errors,
            note=note,
            token=token,
            shown=shown("account", {}),
        )
        response.headers["cache-control"] = "no-store"
        return response

    async def show(request: Request) -> Response:
        return await listed(request)

    async def make(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=_MAX_FIELDS)
        note = str(form.get("note", "")).strip()
        try:
            made = await ask(context, request, "create_token", await _wanted(request, form, note), Made)
        except Asked as error:
            return await listed(request, errors=(_told(error),), note=note)
        return await listed(request, token=made.create_access_token.token)

    async def _wanted(request: Request, form: FormData, note: str) -> dict[str, object]:
        me = (await ask(context, request, "account", {}, AccountAnswer)).current_user
        return {"id": me.id, "scopes": [str(one) for one in form.getlist("scope")], "note": note}

    async def revoke(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=_MAX_FIELDS)
        try:
            await ask(context, request, "delete_token", {"id": str(form.get("id", ""))}, _Anything)
        except Asked as error:
            return await listed(request, errors=(_told(error),))
        return see_other(PATH)

    return [
        Route(PATH, page(show), methods=["GET"]),
        Route(PATH + "/tokens", page(make), methods=["POST"]),
        Route(PATH + "/tokens/revoke", page(revoke), methods=["POST"]),
    ]


def _told(error: Asked) -> FieldError:
    """Beside the form, where it is about what was filled in. Raises ``error`` again where it is not."""
    if error.code not in REFUSED:
        raise error
    return FieldError(f"{error} {error.remedy}".strip())
