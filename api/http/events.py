"""``POST /events`` takes CloudEvents of external types onto the log; ``GET /events`` says what became of one.

An answer to POST is 202: on the log, not yet judged. Every error is one JSON object: ``code``, ``message``, ``remedy`` and
``problems``, each with the path of a field and what is wrong there.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import urlencode

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from api.auth.guard import current_user
from api.auth.user import User
from api.context import AppContext
from api.event_status import INDEX_DAYS, READ, EventStatus, Publication, Published, event_status, told
from api.http.bodies import body_of
from api.http.events_input import NotRead, Received, completed, explained, is_internal, received
from api.http.events_permitted import not_permitted
from api.http.idempotency import KeyRefused, idempotency_key
from api.http.refusals import event_errors, wants_page
from api.recent import Recent
from infra.kafka.errors import KafkaError
from infra.metrics import EVENTS_REFUSED
from projections.event_index.fold import repository_of
from projections.event_index.queries import positions_of
from projections.generations import NotProjected
from projections.judged import PENDING
from schemas.codec import MAX_RECORD_BYTES
from schemas.envelope import Event
from schemas.errors import MillstreamError
from schemas.events import REGISTRY
from schemas.registry import Audience
from schemas.validation import EventRefused, FieldProblem, event_from

PATH: Final = "/events"
MAX_WAIT_S: Final = 30.0
_EXTERNAL: Final = sorted({one.name for one in REGISTRY if one.audience is Audience.EXTERNAL})
_POLL_S: Final = 0.05
_LOOK_AT_LEAST_EVERY_S: Final = 0.25
_THREADS: Final = 8
_log = structlog.get_logger()
T = TypeVar("T")


def routes(context: AppContext) -> list[BaseRoute]:
    """The one address."""
    endpoint = EventsEndpoint(context)
    return [Route(PATH, endpoint.answer, methods=["GET", "POST"])]


class EventsEndpoint:
    """Both methods, and the threads in which they wait for Kafka and Postgres."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._recent: Recent[tuple[str, str], Published] = Recent()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="events")

    async def answer(self, request: Request) -> Response:
        """The response to one request."""
        user = current_user(request)
        if user is None:
            return event_errors(401, "UNAUTHENTICATED", "Send 'Authorization: token T'.")
        try:
            if request.method == "POST":
                return await self._publish(request, user)
            if not request.query_params and wants_page(request.scope):
                return RedirectResponse(f"{PATH}/", status_code=303)
            return await self._look_up(request, user)
        except NotRead as error:
            EVENTS_REFUSED.labels(type="unknown").inc()
            return event_errors(error.status, error.code, str(error), error.remedy, error.problems)
        except KeyRefused as error:
            return event_errors(400, "INVALID_INPUT", str(error), "Send another key, or none.")
        except (KafkaError, NotProjected) as error:
            return event_errors(503, "UNAVAILABLE", f"{error}.", error.remedy)
        except SQLAlchemyError as error:
            _log.warning("database_unavailable", error=str(error))
            return event_errors(503, "UNAVAILABLE", "The database cannot be reached.", "Try again.")

    async def _publish(self, request: Request, user: User) -> Response:
        key = idempotency_key(request.headers)
        asked = received(request.scope["headers"], body_of(request.scope))
        events = checked(asked, key=key, caller=user.name, received_at=datetime.now(UTC))
        if isinstance(events, Response):
            return events
        refused = await self._run(lambda: not_permitted(events, user, self._context.reader))
        if refused is not None:
            return refused
        conflict = await self._run(lambda: self._conflict(events, user))
        if conflict is not None:
            return conflict
        positions = await self._run(lambda: self._context.publisher.publish(events))
        published = []
        for event, position in zip(events, positions, strict=True):
            self._recent.add(
                (event.source, event.id),
                Published(
                    position=position,
                    type=event.type.name,
                    subject=event.subject,
                    repository_id=repository_of(position.topic, event.key),
                ),
            )
            published.append(
                {
                    "id": event.id,
                    "source": event.source,
                    "type": event.type.name,
                    "position": str(position),
                    "state": PENDING,
                    "status": address_of(event.source, event.id),
                }
            )
        if asked.is_batch:
            return _json(202, {"events": published})
        return _json(202, published[0], {"location": str(published[0]["status"])})

    def _conflict(self, events: Sequence[Event], user: User) -> Response | None:
        """A courtesy: an id that named another event before is most likely a mistake of the caller."""
        try:
            with self._context.reader.snapshot(READ, viewer=user.viewer) as snapshot:
                for event in events:
                    before = positions_of(snapshot.connection, event.source, event.id)
                    for one in told(snapshot.connection, before, everything=user.site_admin):
                        if (one.type, one.subject) != (event.type.name, event.subject):
                            return _id_reused(event, one.type, one.subject)
        except (MillstreamError, SQLAlchemyError) as error:
            _log.info("id_not_looked_up", error=str(error))  # publishing needs no projection
        return None

    async def _look_up(self, request: Request, user: User) -> Response:
        given = request.query_params
        source, event_id = given.get("source", ""), given.get("id", "")
        problems = [
            FieldProblem(name, "is required")
            for name, value in (("source", source), ("id", event_id))
            if not value
        ]
        problems += [
            FieldProblem(name, "has U+0000 in it, which no event may have")
            for name, value in (("source", source), ("id", event_id))
            if "\0" in value
        ]
        wait_s = _seconds(given.get("wait", "0"))
        if wait_s is None:
            problems.append(FieldProblem("wait", f"has to be seconds from 0 to {MAX_WAIT_S:g}"))
        if problems or wait_s is None:
            return event_errors(
                400,
                "INVALID_INPUT",
                "; ".join(f"{one.path} {one.reason}" for one in problems) + ".",
                "Say which event, source and id as it had them, percent-encoded: GET /events?source=S&id=I, and wait=SECONDS (at most "
                f"{MAX_WAIT_S:g}) to wait for its verdict.",
                problems,
            )
        status = await self._judged(source, event_id, wait_s, user)
        if status is None:
            return event_errors(
                404,
                "NOT_FOUND",
                f"No event with the id {event_id!r} of {source!r} has been seen in the last {INDEX_DAYS} days.",
                "If it was published a moment ago, ask with wait=5; otherwise publish it (again: with the same id).",
            )
        return _json(200, shown(status))

    async def _judged(self, source: str, event_id: str, wait_s: float, user: User) -> EventStatus | None:
        """The status once the newest publication is judged, or the last one known when the time is over."""
        deadline_s = time.monotonic() + wait_s
        reader = self._context.reader
        while True:
            moves, looked_s = reader.moves, time.monotonic()
            status = await self._run(lambda: self._status(source, event_id, user))
            if status is not None and status.newest.verdict.state != PENDING:
                return status
            while reader.moves == moves and time.monotonic() - looked_s < _LOOK_AT_LEAST_EVERY_S:
                if time.monotonic() >= deadline_s:
                    return status
                await asyncio.sleep(_POLL_S)

    def _status(self, source: str, event_id: str, user: User) -> EventStatus | None:
        with self._context.reader.snapshot(READ, viewer=user.viewer) as snapshot:
            remembered = self._recent.of((source, event_id))
            return event_status(snapshot.connection, source, event_id, remembered, everything=user.site_admin)

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def checked(
    asked: Received, *, key: str | None, caller: str, received_at: datetime
) -> list[Event] | Response:
    """The events, ready to be published, all of them; or the refusal that names everything that is wrong."""
    events: list[Event] = []
    problems: list[FieldProblem] = []
    internal = False
    seen: set[tuple[str, str]] = set()
    for place, body in enumerate(asked.events):
        item = place if asked.is_batch else None
        whole = completed(body, received_at=received_at, key=key, caller=caller, item=item)
        try:
            event = event_from(whole)
            if (event.source, event.id) in seen:
                problems += explained([FieldProblem("$.id", "names another event of this batch too")], item)
            seen.add((event.source, event.id))
            events.append(event)
        except EventRefused as error:
            problems += explained(error.problems, item)
            internal = internal or is_internal(whole, REGISTRY)
            EVENTS_REFUSED.labels(type="unknown").inc()
    if internal:
        return event_errors(
            403,
            "TYPE_INTERNAL",
            "This type says what Millstream's own agents found or did: nobody else may state it.",
            f"Publish events of external types only: {', '.join(_EXTERNAL)}.",
            [one for one in problems if one.path.endswith(".type")] or problems,
        )
    too_large = next((one for one in problems if one.reason.startswith("is too large")), None)
    if too_large is not None:
        return event_errors(
            413,
            "EVENT_TOO_LARGE",
            f"An event may have {MAX_RECORD_BYTES:,} bytes, envelope included.",
            "Put the large part elsewhere and send its address, or split the event.",
            problems,
        )
    if problems:
        return event_errors(
            400,
            "EVENT_REFUSED",
            "This is no event that can be published"
            + ("; nothing of the batch was." if asked.is_batch else "."),
            "Correct what the problems name, and send it again.",
            problems,
        )
    return events


def shown(status: EventStatus) -> dict[str, object]:
    """The answer to GET: the newest publication's verdict, and every publication by itself."""
    newest = status.newest
    return {
        "source": status.source,
        "id": status.id,
        "type": newest.type,
        "subject": newest.subject,
        **_verdict(newest),
        "version": status.version,
        "positions": [
            {
                "position": str(one.position),
                "type": one.type,
                "subject": one.subject,
                "appendedAt": one.appended_at,
                **_verdict(one),
            }
            for one in status.publications
        ],
    }


def address_of(source: str, event_id: str) -> str:
    """Where what became of an event can be asked."""
    return f"{PATH}?{urlencode({'source': source, 'id': event_id})}"


def _id_reused(event: Event, type_name: str, subject: str) -> Response:
    return event_errors(
        409,
        "ID_REUSED",
        f"The id {event.id!r} of {event.source!r} was used for another event.",
        "An id (or an Idempotency-Key) names one event for ever: take a new one for a new event.",
        [FieldProblem("$.id", f"names {type_name} of {subject} already")],
    )


def _verdict(one: Publication) -> dict[str, object]:
    found = one.verdict
    return {
        "state": found.state,
        "version": found.version,
        "reason": found.reason or None,
        "of": None if found.of is None else str(found.of),
    }


def _seconds(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0.0 <= found <= MAX_WAIT_S else None


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(
        orjson.dumps(body, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )
