"""Chains of events, told by the causes that they name and by the upload that they are about."""

from datetime import UTC, datetime
from itertools import pairwise

from api.demo.causes import Seen, of_delivery, of_upload
from schemas.codec import new_event
from schemas.envelope import Event, Position
from schemas.events import (
    ActionRequested,
    ActionSucceeded,
    FiredRun,
    FiringCause,
    RepositoryPushed,
    RunOutcome,
    RunStatus,
    TriggerDispatched,
    TriggerEvaluated,
    TriggerFired,
    UploadDescription,
    UploadPublished,
    UploadState,
    UploadStateChanged,
)
from schemas.registry import Payload

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Log:
    """Events one after the other; what is said twice lies there twice."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def say(self, payload: Payload, cause: Event | None = None, *, times: int = 1) -> Event:
        event = new_event(payload, source="//test", time=NOW, cause=cause)
        for _ in range(times):
            offset = len(self.seen)
            self.seen.append(Seen(event, Position(str(event.type.topics[0]), 0, offset), offset))
        return event


def a_push_told(log: Log, monitor: int, delivery: str, *, twice: bool = False) -> None:
    times = 2 if twice else 1
    pushed = log.say(RepositoryPushed(repository_id=1, default_branch="main", tip="a" * 40))
    moment, runs = f"push:{monitor}", [FiredRun(monitor_id=monitor, begun=0)]
    fired = TriggerFired(repository_id=1, moment=moment, cause=FiringCause.PUSH, pushed_offset=0, runs=runs)
    log.say(fired, pushed, times=times)
    asked = TriggerDispatched(
        repository_id=1, moment=moment, cause=FiringCause.PUSH, pushed_offset=0, runs=runs
    )
    outcome = RunOutcome(monitor_id=monitor, begun=0, status=RunStatus.COMPLETED)
    evaluated = TriggerEvaluated(repository_id=1, moment=moment, pushed_offset=0, outcomes=[outcome])
    to_evaluate = log.say(asked, pushed, times=times)
    found = log.say(evaluated, to_evaluate, times=times)
    requested = ActionRequested(
        monitor_id=monitor, job_id=3, action_id=4, repository_id=1, delivery_id=delivery, since=NOW
    )
    sent = log.say(requested, found)
    log.say(ActionSucceeded(monitor_id=monitor, job_id=3, action_id=4), sent, times=times)


def test_a_delivery_leads_back_to_the_push_and_to_no_other() -> None:
    log = Log()
    a_push_told(log, 6, "other")
    first = len(log.seen)
    a_push_told(log, 7, "mine", twice=True)
    found = of_delivery(log.seen, "mine")
    assert [str(link) for link in found] == [
        "repository.pushed",
        "trigger.fired",
        "trigger.dispatched",
        "trigger.evaluated",
        "action.requested",
        "action.succeeded",
    ]
    assert found[0].position == f"millstream.repositories/0@{first}"
    assert of_delivery(log.seen, "nobody's") == []
    assert of_delivery(log.seen[:-2], "mine") == [], "what did not succeed has no such chain"


def test_what_caused_nothing_that_is_known_begins_the_chain() -> None:
    log = Log()
    a_push_told(log, 7, "mine")
    assert [link.event for link in of_delivery(log.seen[3:], "mine")] == [
        "trigger.evaluated",
        "action.requested",
        "action.succeeded",
    ]


def test_an_upload_has_the_events_that_are_about_it() -> None:
    log = Log()
    description = UploadDescription(
        commit="a" * 40, root="", indexer="x", format="scip", uploaded_by="admin", created_at=NOW
    )
    for upload in (8, 9):
        states = [None, UploadState.QUEUED, UploadState.PROCESSING, UploadState.COMPLETED]
        for before, after in pairwise(states):
            assert after is not None
            log.say(
                UploadStateChanged(
                    upload_id=upload,
                    repository_id=1,
                    from_state=before,
                    to_state=after,
                    reason="so",
                    upload=description if before is None else None,
                ),
                times=2,
            )
        log.say(UploadPublished(upload_id=upload, repository_id=1, commit="a" * 40, root="", indexer="x"))
    assert [str(link) for link in of_upload(log.seen, 9)] == [
        "upload.state_changed to queued",
        "upload.state_changed to processing",
        "upload.state_changed to completed",
        "upload.published",
    ]
