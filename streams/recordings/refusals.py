"""Requests that are never dispatched: what is said of them, and under which id. Pure."""

from datetime import datetime
from typing import Final

import msgspec

from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import FailedSeries, RecordingRequest, SearchFailed
from schemas.ids import derived_event_id
from schemas.limits import shortened

CANCELLED: Final = "cancelled"
NOT_A_PUSH: Final = "not-a-push"
NOT_THE_SERIES: Final = "not-the-series"
TOO_LARGE: Final = "too-large"
_MESSAGES: Final = {
    CANCELLED: "the backfill was cancelled, or its insight deleted, before this was counted",
    NOT_A_PUSH: "the newest state that is asked for is not what any push of this repository said",
    NOT_THE_SERIES: "a requested series is unknown, or has another query, interval or kind than the series of that id",
    TOO_LARGE: "the request does not fit into one event with the place of its repository",
}


class Refusal(msgspec.Struct, frozen=True):
    """``attempt`` is the one that is not made; ``message`` empty: that of the reason."""

    request: RecordingRequest
    attempt: int
    reason: str
    message: str = ""

    def event(self, source: str, now: datetime) -> Event:
        """The final failure. Its id follows from request, attempt and reason."""
        request = self.request
        is_false = self.reason in (NOT_A_PUSH, NOT_THE_SERIES)
        payload = SearchFailed(
            request_id=request.request_id,
            repository_id=request.repository_id,
            insight_id=request.insight_id,
            attempt=self.attempt,
            reason=self.reason,
            message=shortened(self.message or _MESSAGES[self.reason]),
            final=True,
            series=[]  # the cells that the series really has stay open
            if is_false
            else [
                FailedSeries(series_id=one.series_id, unit=one.unit, value=one.value, frames=one.frames)
                for one in request.series
            ],
        )
        event = new_event(
            payload,
            source=source,
            time=now,
            event_id=derived_event_id(
                "search.failed", request.repository_id, request.request_id, self.attempt, self.reason
            ),
            correlation_id=request.request_id,
        )
        return msgspec.structs.replace(event, causation_id=request.request_id)
