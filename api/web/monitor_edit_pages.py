"""The pages that create and edit a code monitor, with a preview of what would have matched lately."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.web.asking import Asked, PageContext, ask, shown
from api.web.fields import FieldError
from api.web.monitor_answers import (
    Action,
    Anything,
    CreatedAnswer,
    Preview,
    PreviewAnswer,
    User,
    UserAnswer,
    ValidationAnswer,
)
from api.web.monitor_form import (
    MonitorForm,
    blank_form,
    edited,
    form_of,
    kept_actions,
    new_actions,
    read_form,
)
from api.web.monitor_pages import monitor_of
from api.web.rendering import page, render, see_other

_AT_A_FIELD = frozenset({"INVALID_INPUT", "NOT_SUPPORTED"})
_FIELDS = 40


def routes(context: PageContext) -> list[BaseRoute]:
    """``/code-monitoring/new``, ``/code-monitoring/{id}/edit`` and their preview."""

    async def form_page(
        request: Request,
        form: MonitorForm,
        *,
        monitor_id: str = "",
        actions: Sequence[Action] = (),
        preview: Preview | None = None,
        previewing: bool = False,
    ) -> Response:
        variables = {"query": form.query}
        form.no_mail = (await _user(context, request)).cannot_be_mailed or ""
        return render(
            context,
            request,
            "monitor_form.html",
            status=422 if form.problems else 200,
            title="Edit code monitor" if monitor_id else "New code monitor",
            here="monitors",
            form=form,
            monitor_id=monitor_id,
            actions=actions,
            preview=preview,
            previewing=previewing,
            for_script=False,
            shown=shown("monitor_preview", variables),
        )

    async def show_new(request: Request) -> Response:
        form = blank_form((await _user(context, request)).cannot_be_mailed or "")
        form.query = request.query_params.get("query", "")
        return await form_page(request, form)

    async def submit_new(request: Request) -> Response:
        sent = await request.form(max_files=0, max_fields=_FIELDS)
        form = read_form(sent)
        if sent.get("action") == "preview":
            found = await _preview(context, request, form)
            return await form_page(request, form, preview=found, previewing=True)
        actions = new_actions(form, await _user_id(context, request))
        if not actions:
            form.action_errors.append(FieldError("Say whom to tell: at least one action is needed."))
            return await form_page(request, form)
        try:
            made = await ask(
                context,
                request,
                "create_monitor",
                await _inputs(context, request, form) | {"actions": actions},
                CreatedAnswer,
                idempotency_key=f"page/{form.key}" if form.key else None,
            )
        except Asked as error:
            _place(error, form)
            return await form_page(request, form)
        return see_other(f"/code-monitoring/{made.create_code_monitor.id}")

    async def show_edit(request: Request) -> Response:
        identity = request.path_params["id"]
        found = await monitor_of(context, request, {"id": identity})
        return await form_page(request, form_of(found), monitor_id=identity, actions=found.actions.nodes)

    async def submit_edit(request: Request) -> Response:
        identity = request.path_params["id"]
        found = await monitor_of(context, request, {"id": identity})
        sent = await request.form(max_files=0, max_fields=_FIELDS)
        form = read_form(sent, [str(one) for one in sent.getlist("kept")])
        actions = found.actions.nodes
        if sent.get("action") == "preview":
            preview = await _preview(context, request, form)
            return await form_page(
                request, form, monitor_id=identity, actions=actions, preview=preview, previewing=True
            )
        wanted = kept_actions(form, actions) + edited(new_actions(form, await _user_id(context, request)))
        inputs = await _inputs(context, request, form)
        owner = "" if found.owner is None else found.owner.id
        update = {"description": form.description, "enabled": form.enabled, "namespace": owner}
        variables = {
            "monitor": {"id": identity, "update": update},
            "trigger": {"update": inputs["trigger"]},
            "actions": wanted,
        }
        try:
            await ask(
                context,
                request,
                "update_monitor",
                variables,
                Anything,
                idempotency_key=f"page/{form.key}" if form.key else None,
            )
        except Asked as error:
            _place(error, form)
            return await form_page(request, form, monitor_id=identity, actions=actions)
        return see_other(f"/code-monitoring/{identity}")

    async def preview(request: Request) -> Response:
        form = read_form(await request.form(max_files=0, max_fields=_FIELDS))
        found = await _preview(context, request, form)
        return render(context, request, "_monitor_preview.html", preview=found, form=form, for_script=True)

    return [
        Route("/code-monitoring/new", page(show_new), methods=["GET"]),
        Route("/code-monitoring/new", page(submit_new), methods=["POST"]),
        Route("/code-monitoring/preview", page(preview), methods=["POST"]),
        Route("/code-monitoring/{id}/edit", page(show_edit), methods=["GET"]),
        Route("/code-monitoring/{id}/edit", page(submit_edit), methods=["POST"]),
    ]


async def _preview(context: PageContext, request: Request, form: MonitorForm) -> Preview | None:
    """What would have matched; None, with the fault at the field, where the query cannot be run."""
    variables = {"query": form.query}
    checked = await ask(context, request, "validate_monitor_query", variables, ValidationAnswer)
    found = checked.validate_code_monitor_query
    if not found.is_valid:
        form.query_errors.append(
            FieldError(
                found.invalid_reason or "This query cannot be run.",
                form.query,
                found.position or 0,
                found.length or 0,
            )
        )
        return None
    answer = await ask(context, request, "monitor_preview", variables, PreviewAnswer)
    return answer.code_monitor_preview


async def _user(context: PageContext, request: Request) -> User:
    return (await ask(context, request, "current_user", {}, UserAnswer)).current_user


async def _user_id(context: PageContext, request: Request) -> str:
    return (await _user(context, request)).id


async def _inputs(context: PageContext, request: Request, form: MonitorForm) -> dict[str, object]:
    return {
        "monitor": {
            "namespace": await _user_id(context, request),
            "description": form.description,
            "enabled": form.enabled,
        },
        "trigger": {"query": form.query},
    }


def _place(error: Asked, form: MonitorForm) -> None:
    """The refusal at its field; what is no refusal of the form is raised again."""
    if error.code not in _AT_A_FIELD or not error.errors:
        raise error
    said = error.errors[0].extensions
    field = str(said.get("field", ""))
    message = f"{error} {error.remedy}".strip()
    if "description" in field:
        form.description_errors.append(FieldError(message))
    elif "trigger" in field:
        position, length = said.get("position"), said.get("length")
        if isinstance(position, int) and isinstance(length, int):
            form.query_errors.append(FieldError(message, form.query, position, length))
        else:
            form.query_errors.append(FieldError(message))
    elif "slackWebhook" in field:
        form.slack_errors.append(FieldError(message))
    else:
        form.action_errors.append(FieldError(message))
