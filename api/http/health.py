"""``/healthz`` (the process lives), ``/readyz`` (what it needs answers), ``/metrics``."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from api.context import AppContext
from infra.kafka.admin import KafkaAdmin
from infra.metrics import exposition
from infra.settings import Settings
from projections.generations import NotProjected
from projections.reading import ALL, Reader
from schemas.errors import MillstreamError

_CHECK_TIMEOUT_S: Final = 5.0
_log = structlog.get_logger()

Check = Callable[[], str]
"""Says in one line that all is well, or raises."""


class Readiness:
    """Runs the checks side by side, each in its own thread; a check that hangs is a failed one."""

    def __init__(self, checks: Mapping[str, Check], timeout_s: float = _CHECK_TIMEOUT_S) -> None:
        self._checks = checks
        self._timeout_s = timeout_s

    async def report(self) -> tuple[bool, dict[str, dict[str, object]]]:
        """(all ready, {name: {"ready", "reason"}})."""
        found = await asyncio.gather(*(self._one(name, check) for name, check in self._checks.items()))
        report = dict(zip(self._checks, found, strict=True))
        return all(bool(one["ready"]) for one in found), report

    async def _one(self, name: str, check: Check) -> dict[str, object]:
        try:
            reason = await asyncio.wait_for(asyncio.to_thread(check), self._timeout_s)
        except TimeoutError:
            return {"ready": False, "reason": f"no answer within {self._timeout_s:g} s"}
        except NotProjected as error:
            return {"ready": False, "reason": str(error)}
        except (MillstreamError, SQLAlchemyError, OSError) as error:
            _log.warning("not_ready", part=name, error=str(error))
            return {"ready": False, "reason": f"{name} cannot be reached"}
        return {"ready": True, "reason": reason}


def readiness(settings: Settings, reader: Reader) -> Readiness:
    """Kafka, Postgres and every projection."""

    def kafka() -> str:
        with KafkaAdmin(settings) as admin:
            admin.cluster_id()
        return "answers"

    def projections() -> str:
        with reader.snapshot(ALL) as snapshot:
            return f"{len(snapshot.generations)} projections are live"

    def postgres() -> str:
        with reader.snapshot(()):
            return "answers"

    return Readiness({"kafka": kafka, "postgres": postgres, "projections": projections})


def routes(context: AppContext, ready: Readiness) -> list[BaseRoute]:
    """The three endpoints."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        is_ready, parts = await ready.report()
        body = {"ready": is_ready, "version": context.version, "parts": parts}
        return JSONResponse(body, status_code=200 if is_ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(exposition(), media_type="text/plain; version=0.0.4")

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
