"""Events on ``millstream.triggers``, keyed by monitor, and the one on ``millstream.work.interactive``, keyed by repository.

An event may carry runs of several monitors whose keys lie on one partition: it bears the key of the first. Texts that
matched stand in a blob, under the permissions of the repository; here are commits, paths, ranges and counts.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from schemas.limits import (
    MAX_MESSAGE_BYTES,
    Code,
    Creator,
    Message,
    Query,
    RequestId,
    check_bytes,
    check_instant,
)
from schemas.recordings.events import RepositoryLocation
from schemas.registry import Audience, Instant, Offset, Part, Payload, SafeId, event
from schemas.repositories.events import Sha
from schemas.topics import Topic

MAX_TIPS = 100
MAX_RUNS = 1_000
MAX_FOUND = 1_000
"""Results that an event names; all that were kept stand in its blob."""
_ON = (Topic.TRIGGERS,)

Tips = Annotated[list[Sha], msgspec.Meta(max_length=MAX_TIPS)]
Moment = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
"""What began a run, for programs: ``push:<offset>``. With monitor and repository it names the run."""


class FiringCause(StrEnum):
    """Why a run began."""

    PUSH = "push"
    TICK = "tick"
    """Refs had moved, and no run had told."""
    ASKED = "asked"
    """Somebody wants it now."""
    BEGUN = "begun"
    """The positions of refs that no push tells are read, so that the monitor begins at the present."""


class FiredRun(Part, frozen=True, kw_only=True):
    """One monitor in one repository. ``begun`` is the offset on ``millstream.monitors`` at which it (again) began at the
    present, ``since`` that of the repository's event with which it (again) began to match; ``base`` are the tips that count as
    searched where nothing was searched since then (null: those found now)."""

    monitor_id: SafeId
    begun: Offset
    since: Offset = 0
    base: Tips | None = None


Runs = Annotated[list[FiredRun], msgspec.Meta(min_length=1, max_length=MAX_RUNS)]


@event(
    "millstream.trigger.fired",
    topics=_ON,
    key=lambda data: data.runs[0].monitor_id,
    audience=Audience.INTERNAL,
)
class TriggerFired(Payload, frozen=True, kw_only=True):
    """Runs began in a repository. ``pushed_offset`` is that of the newest push in it, as known then."""

    repository_id: SafeId
    moment: Moment
    cause: FiringCause
    pushed_offset: Offset
    runs: Runs


@event(
    "millstream.trigger.dispatched",
    topics=(Topic.WORK_INTERACTIVE,),
    key=lambda data: data.repository_id,
    audience=Audience.INTERNAL,
)
class TriggerDispatched(Payload, frozen=True, kw_only=True):
    """These runs are to be evaluated now, where the clone is: one look at the history serves them all."""

    repository_id: SafeId
    moment: Moment
    cause: FiringCause
    pushed_offset: Offset
    runs: Runs
    location: RepositoryLocation = RepositoryLocation()


class RunStatus(StrEnum):
    """How a run ended. Only ``completed`` and ``hidden`` move positions."""

    COMPLETED = "completed"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    """The monitor was edited, disabled or deleted meanwhile."""
    HIDDEN = "hidden"
    """The owner may not see the repository: nothing was searched."""


class Found(Part, frozen=True, kw_only=True):
    """One commit that matched. ``ranges`` are offsets into its text in the blob, in code points; ``matches`` counts all."""

    commit: Sha
    paths: Annotated[list[Annotated[str, msgspec.Meta(max_length=4_096)]], msgspec.Meta(max_length=100)] = []
    ranges: Annotated[list[tuple[int, int]], msgspec.Meta(max_length=100)] = []
    matches: Annotated[int, msgspec.Meta(ge=1, le=2**53)] = 1


class ResultsBlob(Part, frozen=True, kw_only=True):
    """Where the results stand whole."""

    uri: Annotated[str, msgspec.Meta(max_length=2_000)]
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class Delivery(Part, frozen=True, kw_only=True):
    """One thing to send: an action, and for an e-mail one of its recipients."""

    action_id: SafeId
    recipient: Creator = ""


class RunOutcome(Part, frozen=True, kw_only=True):
    """How one run ended. ``tips`` are searched from now on (null: positions stay). With results it is an event of the monitor.

    ``query`` stands here where something was found. ``deliveries`` are what has to be sent for it.
    """

    monitor_id: SafeId
    begun: Offset
    since: Offset = 0
    status: RunStatus
    tips: Tips | None = None
    query: Query = ""
    results: Annotated[list[Found], msgspec.Meta(max_length=MAX_FOUND)] = []
    result_count: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    match_count: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    blob: ResultsBlob | None = None
    deliveries: Annotated[list[Delivery], msgspec.Meta(max_length=1_000)] = []
    warnings: Annotated[list[Message], msgspec.Meta(max_length=100)] = []
    reason: Code = ""
    message: Message = ""

    def __post_init__(self) -> None:
        check_bytes("message", self.message, MAX_MESSAGE_BYTES)


@event(
    "millstream.trigger.evaluated",
    topics=_ON,
    key=lambda data: data.outcomes[0].monitor_id,
    audience=Audience.INTERNAL,
)
class TriggerEvaluated(Payload, frozen=True, kw_only=True):
    """Runs ended. ``pushed_offset`` is covered by them; ``waited_for`` is what the positions were read behind."""

    repository_id: SafeId
    moment: Moment
    pushed_offset: Offset
    outcomes: Annotated[list[RunOutcome], msgspec.Meta(min_length=1, max_length=MAX_RUNS)]
    waited_for: list[Annotated[str, msgspec.Meta(max_length=300)]] = []


Attempt = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class _Action(Payload, frozen=True, kw_only=True):
    """``job_id`` is the run's, ``recipient`` that of an e-mail; ``attempt`` counts from 1."""

    monitor_id: SafeId
    job_id: SafeId
    action_id: SafeId
    recipient: Creator = ""
    attempt: Attempt = 1


@event(
    "millstream.action.requested",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.INTERNAL,
)
class ActionRequested(_Action, frozen=True, kw_only=True):
    """Somebody has to be told. ``delivery_id`` is the same in all attempts; ``since`` is when the event was found."""

    repository_id: SafeId
    delivery_id: RequestId
    since: Instant

    def __post_init__(self) -> None:
        check_instant("since", self.since)


@event(
    "millstream.action.succeeded",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.INTERNAL,
)
class ActionSucceeded(_Action, frozen=True, kw_only=True):
    """The receiver took it. ``message`` is what it said, in short."""

    message: Message = ""

    def __post_init__(self) -> None:
        check_bytes("message", self.message, MAX_MESSAGE_BYTES)


@event(
    "millstream.action.failed",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.INTERNAL,
)
class ActionFailed(_Action, frozen=True, kw_only=True):
    """It was not taken. Not ``final``: it is tried again at ``not_before``."""

    final: bool
    reason: Code
    message: Message
    not_before: Instant | None = None

    def __post_init__(self) -> None:
        check_bytes("message", self.message, MAX_MESSAGE_BYTES)
        if self.final != (self.not_before is None):
            raise ValueError("a final failure has no next attempt, any other has one")


@event(
    "millstream.trigger.pruned",
    topics=_ON,
    key=lambda data: data.monitor_id,
    audience=Audience.INTERNAL,
)
class TriggerPruned(Payload, frozen=True, kw_only=True):
    """The history of a monitor was cut: runs without results that ended before ``empty_before``, all before ``all_before``."""

    monitor_id: SafeId
    empty_before: Instant
    all_before: Instant
