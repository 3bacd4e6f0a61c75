"""The API as one ASGI application: GraphQL, health, metrics, login, pages.

``create_app(settings) -> Starlette``. Rooms: ``api.graphql`` (what is asked), ``api.http`` (how it arrives), ``api.auth`` (who asks),
``api.web`` (pages), ``api.context.AppContext`` (what they share; its docstring is the contract for pages).

A request passes, outermost first: security headers, request metrics, Guard (Host, token or session), Bodies (cap,
gzip), WriteCheck (Origin and CSRF for writes by cookie), routes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Router
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from api import web
from api.auth.directory import Directory
from api.auth.guard import GatePolicy, Guard, WriteCheck
from api.auth.opaque import OpaqueIds
from api.auth.proxy import TrustedProxy
from api.auth.sessions import Sessions
from api.auth.tokens import admin_token
from api.context import AppContext
from api.graphql.execute import GraphQLService
from api.graphql.limits import OperationLimits
from api.graphql.operation import Services
from api.http import events, graphql, health, login, uploads
from api.http.bodies import Bodies, BodyPolicy
from api.http.headers import SecurityHeaders
from api.http.live import LiveHub
from api.http.measuring import Measuring
from api.http.refusals import refusal
from api.logged import LoggedEvents
from api.monitoring import Monitoring
from api.operating import Operating
from api.preview.counting import Previewer
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault import Vaults
from projections.reading import Reader
from streams.hands import search_limits

PUBLISH_TIMEOUT_S: Final = 10.0
"""Somebody waits for the answer: the API gives up on a broker sooner than an agent."""


def create_app(
    settings: Settings,
    *,
    limits: OperationLimits | None = None,
    bodies: BodyPolicy | None = None,
    on_start: Callable[[], None] = lambda: None,
) -> Starlette:
    """The application over the Kafka and Postgres of ``settings``; its lifespan closes what it opened.

    ``on_start`` is called once requests are answered. ``state.live`` is the hub of streams: whoever stops the server closes it
    first, or would wait for every browser that listens.
    """
    engine = make_engine(settings, Role.APP, name="api")
    reader = Reader(engine)
    publisher = Publisher(
        settings.model_copy(update={"publish_timeout_s": min(settings.publish_timeout_s, PUBLISH_TIMEOUT_S)}),
        client_id="millstream-api",
    )
    log = LoggedEvents(settings)
    operating = Operating(settings)
    vaults = Vaults(settings, Role.APP)
    context = make_context(settings, reader, publisher, log, operating, limits or OperationLimits(), vaults)
    routes = [
        *graphql.routes(context),
        *events.routes(context),
        *health.routes(context, health.readiness(settings, reader)),
        *login.routes(context),
        *uploads.routes(context),
        Mount("/static", StaticFiles(directory=web.STATIC), name="static"),
        *web.routes(context),
    ]
    router = Router(routes)
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Measuring, router=router),
            Middleware(
                Guard,
                token=admin_token(settings.home),
                sessions=context.sessions,
                policy=GatePolicy(hosts=frozenset(settings.allowed_hosts)),
                directory=context.directory,
                proxy=TrustedProxy.of_settings(settings),
            ),
            Middleware(Bodies, policy=_streaming(bodies or BodyPolicy())),
            Middleware(WriteCheck, asking_paths=graphql.PATHS),
        ],
        exception_handlers={HTTPException: _refused, Exception: _broken},
        lifespan=_lifespan(engine, reader, publisher, log, operating, vaults, on_start),
    )
    app.state.live = context.live
    return app


def _streaming(bodies: BodyPolicy) -> BodyPolicy:
    """With the addresses whose bodies are not read whole."""
    return msgspec.structs.replace(bodies, streamed_prefixes=uploads.PATHS)


def make_context(
    settings: Settings,
    reader: Reader,
    publisher: Publisher,
    log: LoggedEvents,
    operating: Operating,
    limits: OperationLimits,
    vaults: Vaults | None = None,
) -> AppContext:
    """What endpoints and pages share; also for callers without HTTP."""
    services = Services(
        reader=reader,
        publisher=publisher,
        log=log,
        limits=limits,
        previewer=Previewer(settings.home, limits=search_limits(settings)),
        operating=operating,
        vaults=vaults or Vaults(settings, Role.APP),
        opaque=OpaqueIds.of_home(settings.home),
        version=product_version(),
        monitoring=Monitoring.of(settings, reader),
    )
    return AppContext(
        settings=settings,
        reader=reader,
        publisher=publisher,
        sessions=Sessions.of_home(settings.home),
        templates=Jinja2Templates(directory=web.TEMPLATES),
        execute_graphql=GraphQLService(services),
        live=LiveHub(reader),
        directory=Directory(reader),
        version=services.version,
    )


def product_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("millstream")
    except PackageNotFoundError:
        return "0.0.0-unreleased"


def _lifespan(
    engine: Engine,
    reader: Reader,
    publisher: Publisher,
    log: LoggedEvents,
    operating: Operating,
    vaults: Vaults,
    on_start: Callable[[], None],
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        on_start()
        try:
            yield
        finally:
            publisher.close()
            log.close()
            operating.close()
            vaults.close()
            reader.close()
            engine.dispose()

    return lifespan


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(status, "REFUSED")
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    return refusal(request.scope, status, code, f"{detail}.")


async def _broken(request: Request, _: Exception) -> Response:
    """Starlette logs the error itself and raises it on to the server."""
    return refusal(request.scope, 500, "INTERNAL", "Something is broken in Millstream; the log says what.")
