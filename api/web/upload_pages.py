"""Uploads of a repository, all uploads, and one upload with its live state, its timeline and the button that deletes it."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.auth.guard import current_user
from api.commands.errors import InputRefused
from api.graphql.ids import upload_id_of, upload_node_id
from api.web.answers import freshness
from api.web.asking import Asked, PageContext, ask, shown
from api.web.outcomes import outcome_page, who_asks
from api.web.rendering import page, render, see_other
from api.web.uploads import ListAnswer, RepositoryAnswer, Upload, UploadAnswer

OF_REPOSITORY: Final = "/{repository:path}/-/code-intelligence/uploads"
ALL: Final = "/site-admin/code-intelligence/uploads"
_PAGE: Final = 50


class _Anything(msgspec.Struct, frozen=True):
    """The answer of a mutation that the page does not read."""


def routes(context: PageContext) -> list[BaseRoute]:
    """The addresses are those that command-line clients print."""

    async def of_repository(request: Request) -> Response:
        name = request.path_params["repository"]
        found = (await ask(context, request, "repository", {"name": name}, RepositoryAnswer)).repository
        if found is None:
            return outcome_page(404, **who_asks(request.scope))
        return await listed(request, found.name, found.id)

    async def of_all(request: Request) -> Response:
        user = current_user(request)
        if user is None or not user.site_admin:
            return outcome_page(
                403,
                lines=("Only a site admin sees the uploads of all repositories.",),
                **who_asks(request.scope),
            )
        return await listed(request, "", None)

    async def listed(request: Request, repository: str, repository_id: str | None) -> Response:
        find = request.query_params.get("q", "").strip()
        deleted = request.query_params.get("deleted") == "yes"
        variables = {
            "repo": repository_id,
            "first": _PAGE,
            "after": request.query_params.get("after") or None,
            "query": find or None,
            "deleted": deleted,
        }
        found = (await ask(context, request, "uploads", variables, ListAnswer)).precise_indexes
        return render(
            context,
            request,
            "uploads.html",
            title=f"Uploads of {repository}" if repository else "Uploads",
            here="repositories" if repository else "operations",
            repository=repository,
            uploads=found.nodes,
            total=found.total_count or 0,
            moving=any(one.is_moving for one in found.nodes),
            find=find,
            deleted=deleted,
            after=found.page_info.end_cursor if found.page_info.has_next_page else "",
            freshness=freshness(found.as_of),
            shown=shown("uploads", variables),
        )

    async def one(request: Request) -> Response:
        number = _number(request)
        variables = {"id": upload_node_id(number)} if number is not None else None
        if variables is None:
            return outcome_page(404, **who_asks(request.scope))
        answer = await ask(context, request, "upload", variables, UploadAnswer)
        upload = _of_this(request, answer.upload)
        if upload is None:
            return outcome_page(404, **who_asks(request.scope))
        user = current_user(request)
        is_theirs = user is not None and (user.site_admin or user.name == upload.uploaded_by)
        return render(
            context,
            request,
            "upload.html",
            title=f"Upload of {upload.repository}",
            here="repositories",
            upload=upload,
            may_delete=is_theirs and upload.can_be_deleted,
            freshness=freshness(upload.as_of),
            shown=shown("upload", variables),
        )

    async def delete(request: Request) -> Response:
        """``GET`` asks whether it is meant, ``POST`` does it."""
        number = _number(request)
        if number is None:
            return outcome_page(404, **who_asks(request.scope))
        variables = {"id": upload_node_id(number)}
        answer = await ask(context, request, "upload", variables, UploadAnswer)
        upload = _of_this(request, answer.upload)
        if upload is None:
            return outcome_page(404, **who_asks(request.scope))
        if request.method != "POST":
            return render(
                context,
                request,
                "ask_delete.html",
                title="Delete the upload?",
                here="repositories",
                what=f"{upload.input_indexer} at {upload.input_commit[:10]}, {upload.root}",
                text="It answers no more. Its documents are removed later, but for those that other uploads have too.",
                yes="Delete the upload",
                target=f"{upload.url}/delete",
                back=upload.url,
            )
        try:
            await ask(context, request, "delete_upload", variables, _Anything)
        except Asked as error:
            if error.code != "ACCEPTED_NOT_YET_VISIBLE":
                raise
        return see_other(upload.url)

    return [
        Route(ALL, page(of_all), methods=["GET"]),
        Route(OF_REPOSITORY, page(of_repository), methods=["GET"]),
        Route(OF_REPOSITORY + "/{id}", page(one), methods=["GET"]),
        Route(OF_REPOSITORY + "/{id}/delete", page(delete), methods=["GET", "POST"]),
    ]


def _number(request: Request) -> int | None:
    """The upload of the address; of whatever kind its id says it is, and however the base64 was padded."""
    text = request.path_params["id"]
    try:
        return upload_id_of(text + "=" * (-len(text) % 4))
    except InputRefused:
        return None


def _of_this(request: Request, upload: Upload | None) -> Upload | None:
    """The upload, where it is one of the repository that the address names."""
    if upload is None or upload.repository != request.path_params["repository"]:
        return None
    return upload
