"""What may be said of monitors, their runs and what they send, whether it is legal now or not."""

import random
from datetime import timedelta
from typing import Protocol

from infra.kafka.partitioner import partition_for
from schemas.events import (
    ActionFailed,
    ActionKind,
    ActionRequested,
    ActionSucceeded,
    Delivery,
    FiredRun,
    FiringCause,
    Found,
    MonitorAction,
    MonitorActionDisabled,
    MonitorCreated,
    MonitorDeleted,
    MonitorRunRequested,
    MonitorToggled,
    MonitorUpdated,
    ObligationFailed,
    ObligationRenewed,
    ResultsBlob,
    RunOutcome,
    RunStatus,
    SecretPlace,
    TriggerEvaluated,
    TriggerFired,
    TriggerPruned,
)
from schemas.registry import Payload
from schemas.topics import Topic
from schemas.triggers.ids import trigger_job_id
from tests.support.projecting import T0

_PARTITIONS = 3
_STACK_PARTITIONS = 8


class Log(Protocol):
    def say(
        self, topic: Topic, place: int, payload: Payload, *, event_id: str | None = None,
        expected_version: int | None = None,
    ) -> None: ...  # fmt: skip
    def again(self, topic: Topic, place: int) -> None: ...


def companion(number: int) -> int:
    """Another monitor on the same partition, of these histories and of an embedded stack: their runs may share an event."""
    others = (number + _PARTITIONS * step for step in range(1, 1_000))
    wanted = partition_for(str(number), _STACK_PARTITIONS)
    return next(one for one in others if partition_for(str(one), _STACK_PARTITIONS) == wanted)


def say_of_monitor(log: Log, random_: random.Random, number: int) -> None:
    """Definitions, legal or not."""
    actions = random_.sample(_actions(random_), random_.randrange(1, 4))
    choices: list[Payload] = [
        MonitorCreated(
            monitor_id=number, description=f"d{random_.randrange(9)}", owner="c", created_at=T0,
            query="type:diff q", actions=actions, enabled=random_.random() < 0.7,
        ),
        MonitorUpdated(
            monitor_id=number, description=f"d{random_.randrange(9)}", actions=actions,
            query=random_.choice((None, "type:commit r")), enabled=random_.choice((None, True, False)),
        ),
        MonitorToggled(monitor_id=number, enabled=random_.random() < 0.5),
        MonitorRunRequested(monitor_id=number),
        MonitorActionDisabled(
            monitor_id=number, action_id=2, reason="gone", message="HTTP 410",
            defined_offset=random_.choice((None, random_.randrange(20))),
        ),
    ]  # fmt: skip
    if random_.random() < 0.1:
        choices = [MonitorDeleted(monitor_id=number)]
    for _ in range(3):
        expected = random_.choice((None, None, None, 0, 1, 2))
        log.say(Topic.MONITORS, number, random_.choice(choices), expected_version=expected)
    if random_.random() < 0.5:
        log.again(Topic.MONITORS, number)


def say_of_runs(log: Log, random_: random.Random, number: int) -> None:
    """Runs of one monitor or of two of one partition, outcomes, and what is sent for them."""
    repository, offset, begun = (random_.randrange(1, 4), random_.randrange(5), random_.randrange(3))
    moment = f"push:{offset}"
    numbers = random_.sample((number, companion(number)), random_.randrange(1, 3))
    job = trigger_job_id(numbers[0], repository, moment)
    about, attempt = numbers[0], random_.randrange(1, 4)
    is_final = random_.random() < 0.3
    choices: list[Payload] = [
        TriggerFired(
            repository_id=repository, moment=moment, cause=FiringCause.PUSH, pushed_offset=offset,
            runs=[FiredRun(monitor_id=one, begun=begun, base=_tips(random_)) for one in numbers],
        ),
        TriggerEvaluated(
            repository_id=repository, moment=moment, pushed_offset=offset,
            outcomes=[_outcome(random_, one, begun) for one in numbers],
        ),
        ActionRequested(
            monitor_id=about, job_id=job, action_id=2, attempt=attempt, repository_id=repository, delivery_id=f"d{job}", since=T0),
        ActionSucceeded(monitor_id=about, job_id=job, action_id=2, attempt=attempt, message="HTTP 200"),
        ActionFailed(
            monitor_id=about, job_id=job, action_id=2, attempt=attempt, final=is_final, reason="refused", message=f"HTTP {random_.randrange(500, 599)}",
            not_before=None if is_final else T0 + timedelta(seconds=random_.randrange(99)),
        ),
        ObligationRenewed(obligation="trigger.actions", aggregate_id=numbers[0], subject=str(job), attempt=2),
        ObligationFailed(
            obligation="action.outcome", aggregate_id=numbers[0], subject="1:1", attempts=5, reason="no-outcome",
            message="it did not come",
        ),
        TriggerPruned(
            monitor_id=number,
            empty_before=T0 + timedelta(days=random_.randrange(30)),
            all_before=T0 + timedelta(days=random_.randrange(10)),
        ),
    ]  # fmt: skip
    for one in random_.choices(choices, weights=(5, 5, 3, 2, 2, 1, 1, 1), k=4):
        log.say(Topic.TRIGGERS, number, one)
    if random_.random() < 0.4:
        log.again(Topic.TRIGGERS, number)


def _actions(random_: random.Random) -> list[MonitorAction]:
    url = SecretPlace(ref=f"u{random_.randrange(3)}", fingerprint="f", host="example.org")
    return [
        MonitorAction(action_id=1, kind=ActionKind.EMAIL, recipients=random_.sample(["a", "b", "c"], 2)),
        MonitorAction(action_id=2, kind=ActionKind.WEBHOOK, url=url, signing=url),
        MonitorAction(action_id=3, kind=ActionKind.SLACK_WEBHOOK, url=url, enabled=False),
    ]


def _outcome(random_: random.Random, monitor_id: int, begun: int) -> RunOutcome:
    status = random_.choice(list(RunStatus))
    if status is not RunStatus.COMPLETED:
        tips = _tips(random_) if status is RunStatus.HIDDEN else None
        return RunOutcome(monitor_id=monitor_id, begun=begun, status=status, tips=tips, reason="r")
    found = random_.random() < 0.5
    return RunOutcome(
        monitor_id=monitor_id,
        begun=begun,
        status=status,
        tips=_tips(random_),
        query="type:diff q" if found else "",
        results=[Found(commit="ab" * 20, paths=["p"], ranges=[(1, 2)])] if found else [],
        result_count=int(found),
        match_count=int(found),
        blob=ResultsBlob(uri="u", size_bytes=1, sha256="ab" * 32) if found else None,
        deliveries=[Delivery(action_id=2)] if found else [],
        warnings=["WARNING: w"],
    )


def _tips(random_: random.Random) -> list[str]:
    return [f"{random_.randrange(16**6):040x}" for _ in range(random_.randrange(3))]
