"""Events on ``millstream.insights``, keyed by insight."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from schemas.cells import check_frames
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, is_identity_json, series_id
from schemas.limits import Creator, FieldError, Query, check_instant
from schemas.registry import Audience, Instant, Part, PartNumber, Payload, SafeId, event
from schemas.topics import Topic

_SERIES_ID_PATTERN: Final = r"^s:[0-9A-F]{64}$"
SeriesId = Annotated[str, msgspec.Meta(pattern=_SERIES_ID_PATTERN, max_length=66)]
"""``s:`` and 64 uppercase hex digits (``schemas.ids.series_id``)."""
SeriesIdText = Annotated[
    str, msgspec.Meta(extra_json_schema={"maxLength": 66, "pattern": _SERIES_ID_PATTERN})
]
"""The same where few of them stand in many events: whoever reads it calls ``check_series_id``, which knows them again."""
IntervalValue = Annotated[int, msgspec.Meta(ge=1, le=1000)]
_ON = (Topic.INSIGHTS,)


@lru_cache(maxsize=16_384)
def is_series_id(text: str) -> bool:
    """Whether the text is a series' id, in form."""
    return re.fullmatch(_SERIES_ID_PATTERN, text) is not None


def check_series_id(text: str) -> None:
    """Of a ``SeriesIdText``. Raises FieldError."""
    if not is_series_id(text):
        raise FieldError("series_id", f"has to match {_SERIES_ID_PATTERN}")


class SeriesKind(StrEnum):
    """How a point is produced: by counting, or by counting per captured value."""

    SEARCH = "search"
    CAPTURE = "capture"


class PatternType(StrEnum):
    """How patterns of a query without ``patternType:`` are read."""

    LITERAL = "literal"
    REGEXP = "regexp"


class SeriesDefinition(Part, frozen=True, kw_only=True):
    """One line of a chart. ``series_id`` is computed once, from the fields that decide the rows it owns."""

    series_id: SeriesId
    label: Annotated[str, msgspec.Meta(max_length=500)]
    query: Annotated[Query, msgspec.Meta(min_length=1)]
    unit: TimeUnit
    value: IntervalValue
    kind: SeriesKind = SeriesKind.SEARCH
    pattern_type: PatternType = PatternType.LITERAL
    repositories: list[SafeId] | None = None
    criteria: Query | None = None
    group_by: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    line_color: Annotated[str, msgspec.Meta(max_length=100)] | None = None

    def __post_init__(self) -> None:
        # Two definitions under one id would write different grids into the same rows.
        computed = series_id(
            SeriesIdentity(
                query=self.query,
                unit=self.unit.value,
                value=self.value,
                repositories=self.repositories,
                criteria=self.criteria,
                kind=self.kind.value,
                group_by=self.group_by,
                pattern_type=self.pattern_type.value,
            )
        )
        if self.series_id != computed:
            raise FieldError("series_id", f"has to be {computed}, which follows from the other fields")
        if is_identity_json(self.query):
            raise FieldError("query", "reads as the identity of another series, and would share its rows")


@event(
    "millstream.insight.created",
    topics=_ON,
    key=lambda data: data.insight_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class InsightCreated(Payload, frozen=True, kw_only=True):
    """Somebody defined an insight: a view with its series. Its past is counted at ``frames`` grid instants."""

    insight_id: SafeId
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    creator: Creator
    created_at: Instant
    series: Annotated[list[SeriesDefinition], msgspec.Meta(min_length=1, max_length=50)]
    description: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    frames: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 12

    def __post_init__(self) -> None:
        check_instant("created_at", self.created_at)


@event(
    "millstream.insight.deleted",
    topics=_ON,
    key=lambda data: data.insight_id,
    audience=Audience.EXTERNAL,
    guarded=True,
)
class InsightDeleted(Payload, frozen=True, kw_only=True):
    """Somebody deleted an insight: it is shown no longer, and what waits for it is not counted any more."""

    insight_id: SafeId


class _Control(Payload, frozen=True, kw_only=True):
    """What people decide about the counting of an insight's past. It acts on what is not dispatched yet."""

    insight_id: SafeId


def _control(name: str) -> event:
    return event(
        f"millstream.backfill.{name}",
        topics=_ON,
        key=lambda data: data.insight_id,
        audience=Audience.EXTERNAL,
        guarded=True,
    )


@_control("paused")
class BackfillPaused(_Control, frozen=True, kw_only=True):
    """Nothing more of this backfill is dispatched until it is resumed."""


@_control("resumed")
class BackfillResumed(_Control, frozen=True, kw_only=True):
    """The backfill goes on."""


@_control("cancelled")
class BackfillCancelled(_Control, frozen=True, kw_only=True):
    """What was asked for before this and is not dispatched is never counted: each request fails with a reason."""


@_control("retried")
class BackfillRetried(_Control, frozen=True, kw_only=True):
    """What finally failed or was cancelled is asked for again."""


class QueueEnd(StrEnum):
    """Where in the queue."""

    FRONT = "front"
    BACK = "back"


@_control("moved")
class BackfillMoved(_Control, frozen=True, kw_only=True):
    """The backfill goes before, or after, all others of its lane."""

    to: QueueEnd


class PlannedSeries(Part, frozen=True, kw_only=True):
    """The half-open range of grid indexes planned for a series."""

    series_id: SeriesId
    unit: TimeUnit
    value: IntervalValue
    first_index: int
    end_index: int

    def __post_init__(self) -> None:
        check_frames(self.unit, self.value, [(self.first_index, self.end_index)])


class PlanCause(StrEnum):
    """Why a plan was made."""

    INSIGHT_CREATED = "insight_created"
    REPOSITORY_REGISTERED = "repository_registered"
    """A repository came after the insight."""
    RECORDING_DUE = "recording_due"
    """A grid instant has passed: the present is counted."""
    BACKFILL_RETRIED = "backfill_retried"
    """Somebody asked for what had finally failed or was cancelled."""


class PlannedScope(Part, frozen=True, kw_only=True):
    """Series that share one set of repositories."""

    series: list[PlannedSeries]
    repositories: list[SafeId]


@event(
    "millstream.backfill.planned",
    topics=_ON,
    key=lambda data: data.insight_id,
    audience=Audience.INTERNAL,
)
class BackfillPlanned(Payload, frozen=True, kw_only=True):
    """The scope of a backfill is fixed: these repositories, these frames. Part ``part`` (from 1) of ``of``.

    ``waited_for`` are the positions (``topic/partition@next offset``) that the repository projection had
    passed when the scope was read.
    """

    insight_id: SafeId
    cause: PlanCause
    scopes: list[PlannedScope]
    part: PartNumber
    of: PartNumber
    waited_for: list[Annotated[str, msgspec.Meta(max_length=300)]] = []

    def __post_init__(self) -> None:
        if self.part > self.of:
            raise ValueError(f"part {self.part} of {self.of} cannot be")
