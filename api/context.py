"""What endpoints and pages share in one API process.

For pages (``api.web.routes(context) -> list[BaseRoute]``)::

    answer = await context.execute_graphql(QUERY, {"id": ...}, user=user)   # in-process, same limits and snapshot rules
    answer.data     # dict | None, plain JSON values
    answer.errors   # list of {"message", "path"?, "extensions": {"code", ...}}; empty when all went well
    return context.templates.TemplateResponse(request, "insight.html", {...})

``user`` is ``api.auth.guard.current_user(request)``, ``csrf_token(request)`` of the same module goes into forms. Templates
lie in ``api/web/templates``, files served below ``/static/`` in ``api/web/static``. Every template has ``csrf_token``,
``user``, ``version``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
from starlette.templating import Jinja2Templates

from api.auth.directory import Directory
from api.auth.sessions import Sessions
from api.auth.user import User
from api.http.live import LiveHub
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.reading import Reader


class GraphQLAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one operation, as plain JSON values.

    ``data`` is None when the operation was refused as a whole. ``extensions`` say how fresh the answer is (``freshness``, by
    projection) and what a mutation wrote (``written``). ``status`` is the HTTP status that fits.
    """

    data: dict[str, object] | None
    errors: list[dict[str, object]] = []
    extensions: dict[str, object] = {}
    status: int = 200


class GraphQLExecutor(Protocol):
    """Runs one operation against the schema."""

    async def __call__(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        *,
        user: User,
        operation_name: str | None = None,
        idempotency_key: str | None = None,
    ) -> GraphQLAnswer: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class AppContext:
    """The shared parts; made once by ``api.app.create_app``."""

    settings: Settings
    reader: Reader
    publisher: Publisher
    sessions: Sessions
    templates: Jinja2Templates
    execute_graphql: GraphQLExecutor
    live: LiveHub
    directory: Directory
    version: str
