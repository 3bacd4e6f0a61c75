"""One look of the dispatcher: what is in flight, how much room there is, and what fills it. Reads; publishes nothing."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from projections.reading import Snapshot
from projections.recordings import queries as recordings
from projections.settings import queries as settings
from projections.settings.queries import SiteSettings
from schemas.events import DispatchedRequest, Lane
from streams.recordings.dispatch import Outcome, Outstanding, RequestKey, pause_after_s, reckon
from streams.recordings.fairness import Flow, LaneTurns, work_of
from streams.recordings.known_series import KnownSeries
from streams.recordings.picking import LanePicker, Picked, Place
from streams.recordings.readiness import Readiness
from streams.recordings.refusals import Refusal
from streams.recordings.token_bucket import Bucket, Rate
from streams.recordings.window import Window

INTERACTIVE: Final = "interactive"
BACKGROUND: Final = "background"
WINDOWS: Final = {INTERACTIVE: (Lane.INTERACTIVE,), BACKGROUND: (Lane.SCHEDULED, Lane.BACKFILL)}
PROJECTIONS: Final = ("insights", "recordings", "repositories", "series_points", "settings")
_LARGEST_PICK: Final = 2_000
_GIVEN_UP_PAGE: Final = 1_000


class Handlers(msgspec.Struct, frozen=True):
    """``background`` of each of the live ``workers``; each has one more, which interactive work alone uses."""

    workers: int
    background: int

    def of(self, window: str) -> int:
        return self.workers * (1 if window == INTERACTIVE else self.background)


class Seen(msgspec.Struct, frozen=True):
    """What a look found: to be dispatched, to be refused, to be held. ``left`` still go on, ``ending`` were refused and are not
    shown as failed yet; ``site`` are the settings that held."""

    picked: list[DispatchedRequest]
    refused: list[Refusal]
    unknown: list[RequestKey]
    left: dict[RequestKey, Outstanding]
    ending: dict[RequestKey, Outstanding]
    site: SiteSettings


class Looker:
    """Remembers the shares, the windows and the pauses. Its looks run on threads, one at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self.readiness = Readiness()
        self.series = KnownSeries()
        self._bucket = bucket
        self._pickers = {lane: LanePicker(lane, self.readiness, self.series) for lane in Lane}
        self._turns = {name: LaneTurns(lanes) for name, lanes in WINDOWS.items()}
        self._windows = {name: Window() for name in WINDOWS}
        self._paused_until_s: dict[RequestKey, float] = {}

    def look_again(self) -> None:
        """Let the next look read everything again."""
        for picker in self._pickers.values():
            picker.look_again()

    def look(
        self,
        snapshot: Snapshot,
        before: Mapping[RequestKey, Outstanding],
        refused: Mapping[RequestKey, Outstanding],
        handlers: Handlers,
        now_s: float,
    ) -> Seen:
        """Compare memory (what was dispatched, what was refused) with the projection, and pick what fills the room."""
        site = settings.values(snapshot.connection)
        ending = reckon(refused, _outcomes(recordings.attempts(snapshot.connection, refused))).left
        reckoning = reckon(before, _outcomes(recordings.attempts(snapshot.connection, before)))
        for key, attempt in reckoning.errored.items():
            self._paused_until_s[key] = now_s + pause_after_s(attempt)
        self._paused_until_s = {key: until for key, until in self._paused_until_s.items() if until > now_s}
        hidden = {
            *(reckoning.left.keys() - reckoning.visible),
            *self._paused_until_s,
            *ending,
            *self.series.waiting_for(snapshot.applied["insights"]),
        }
        place = Place(snapshot, hidden, now_s, site.timeout_s)
        refusals = self._given_up(place)
        # What was cancelled waits no longer: it is refused in pages, whether there is room or not.
        refusals += [one for picker in self._pickers.values() for one in picker.cancelled(place)]
        found = self._fill(place, before, reckoning.left, handlers, site)
        return Seen(
            [one for one, _ in found.requests],
            [*refusals, *found.refused],
            found.unknown,
            reckoning.left,
            ending,
            site,
        )

    def _fill(
        self,
        place: Place,
        before: Mapping[RequestKey, Outstanding],
        left: Mapping[RequestKey, Outstanding],
        handlers: Handlers,
        site: SiteSettings,
    ) -> Picked:
        rate = None if site.rate_limit_per_s is None else Rate(site.rate_limit_per_s, site.rate_limit_burst)
        allowed = _LARGEST_PICK if rate is None else self._bucket.available(rate)
        flying = Counter(one.lane for one in left.values())
        flown = Counter(one.lane for one in before.values())
        total = len(left)
        everything = Picked([], [], [])
        for name, lanes in WINDOWS.items():
            in_flight = sum(flying[lane] for lane in lanes)
            ended = sum(flown[lane] for lane in lanes) - in_flight
            self._windows[name].observe(ended, in_flight=in_flight, now=place.now_s)
            window = self._windows[name].size(handlers.of(name))
            if site.concurrency is not None:
                window = min(window, _cap(name, site.concurrency))
                total_room = site.concurrency - total
            else:
                total_room = window
            room = min(window - in_flight, total_room, allowed, _LARGEST_PICK)
            if room <= 0:
                continue
            queues: dict[Lane, list[tuple[DispatchedRequest, Flow | None]]] = {}
            for lane in lanes:
                picked = self._pickers[lane].pick(place, room)
                queues[lane] = picked.requests
                everything.refused.extend(picked.refused)
                everything.unknown.extend(picked.unknown)
            merged = self._turns[name].merged(queues, flying, window, room)
            if rate is not None and merged:
                merged = merged[: self._bucket.take(len(merged), rate)]
                allowed -= len(merged)
            total += len(merged)
            self._charge(name, merged)
            everything.requests.extend(one for _, one in merged)
        return everything

    def _charge(
        self, window: str, merged: Sequence[tuple[Lane, tuple[DispatchedRequest, Flow | None]]]
    ) -> None:
        self._turns[window].served([lane for lane, _ in merged])
        for lane, (one, flow) in merged:
            if flow is not None:
                self._pickers[lane].share.charge(flow, work_of(one.request))

    def _given_up(self, place: Place) -> list[Refusal]:
        return [
            Refusal(one.request, one.attempts, one.reason, one.message)
            for one in recordings.given_up(place.connection, _GIVEN_UP_PAGE, place.hidden)
        ]


def now_s() -> float:
    """The clock of pauses and windows."""
    return time.monotonic()


def _cap(window: str, concurrency: int) -> int:
    """Of a limit over all, one request is kept for interactive work, where there is more than one."""
    return concurrency if window == INTERACTIVE else max(1, concurrency - 1)


def _outcomes(shown: Mapping[RequestKey, recordings.Attempts]) -> dict[RequestKey, Outcome]:
    return {
        key: Outcome(
            ended=found.state in ("completed", "failed"),
            dispatched_attempt=found.dispatched,
            failed_attempt=found.failed,
        )
        for key, found in shown.items()
    }
