"""``/{repository}/-/code-intelligence/graph``: how current a commit graph is, and which uploads answer at a commit."""

import re
from datetime import datetime
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.web.asking import PageContext, ask, shown
from api.web.fields import FieldError
from api.web.rendering import page, render

_FULL_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class GraphState(_Answer):
    """How current the graph is."""

    stale: bool
    waits_for_commits: bool
    stale_since: datetime | None = None
    updated_at: datetime | None = None


class VisibleUpload(_Answer):
    """One upload that answers."""

    id: str
    input_commit: str
    input_root: str
    input_indexer: str
    distance: int


class _Target(_Answer):
    oid: str


class _Branch(_Answer):
    display_name: str
    target: _Target


class _Repository(_Answer):
    name: str
    code_intelligence_commit_graph: GraphState
    default_branch: _Branch | None = None
    visible_uploads: list[VisibleUpload] = []


class CommitGraphAnswer(_Answer):
    """Of ``commit_graph.graphql``."""

    repository: _Repository | None = None


def routes(context: PageContext) -> list[BaseRoute]:
    """The page. Without ``?commit=`` it shows the tip of the default branch."""

    async def show(request: Request) -> Response:
        name: str = request.path_params["repository"]
        commit = request.query_params.get("commit", "").strip().lower()
        is_id = _FULL_ID.fullmatch(commit) is not None
        found = await _asked(context, request, name, commit if is_id else "")
        if not commit and found.default_branch is not None:
            commit, is_id = found.default_branch.target.oid, True
            found = await _asked(context, request, name, commit)
        errors = () if is_id or not commit else (FieldError("Give the full id of a commit: 40 hex digits."),)
        return render(
            context,
            request,
            "commit_graph.html",
            status=422 if errors else 200,
            title=f"Commit graph of {name}",
            here="repositories",
            repository=found,
            state=found.code_intelligence_commit_graph,
            commit=commit,
            asked=is_id,
            uploads=found.visible_uploads,
            errors=errors,
            shown=shown("commit_graph", _variables(name, commit if is_id else "")),
        )

    return [Route("/{repository:path}/-/code-intelligence/graph", page(show), methods=["GET"])]


async def _asked(context: PageContext, request: Request, name: str, commit: str) -> _Repository:
    answer = await ask(context, request, "commit_graph", _variables(name, commit), CommitGraphAnswer)
    if answer.repository is None:
        raise HTTPException(404)
    return answer.repository


def _variables(name: str, commit: str) -> dict[str, object]:
    return {"name": name, "commit": commit, "hasCommit": bool(commit)}
