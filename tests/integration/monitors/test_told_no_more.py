"""What was asked to be sent, and must not be: the sender looks at what holds now, not at who asked."""

from contextlib import closing

import pytest

from infra.topics import HEADS_APP
from schemas.events import (
    ActionFailed,
    ActionKind,
    ActionRequested,
    ActionSucceeded,
    Delivery,
    MonitorAction,
    MonitorUpdated,
    ObligationRenewed,
)
from schemas.triggers.ids import action_job_id
from streams.obligations.names import Owing
from streams.slots import Slot, SlotLost
from tests.support.monitor_house import House
from tests.support.slots import end_session_of_slot

FIRST, SECOND = Delivery(action_id=1), Delivery(action_id=2)


def mail_to(*names: str) -> MonitorAction:
    return MonitorAction(action_id=1, kind=ActionKind.EMAIL, recipients=list(names))


def refused_for_ever(house: House, request: ActionRequested) -> str:
    """The reason."""
    (outcome,) = house.said(request)
    assert isinstance(outcome, ActionFailed)
    assert outcome.final
    return outcome.reason


def test_who_was_removed_from_a_mail_hears_nothing_of_what_was_found_before(house: House) -> None:
    asked_for: list[str] = []
    house.mail_address = asked_for.append
    request = house.monitor(1, mail_to("ann", "bob"))
    house.say(MonitorUpdated(monitor_id=1, description="d", actions=[mail_to("bob")]))
    house.send(request)
    assert refused_for_ever(house, request) == "recipient-removed"
    assert asked_for == [], "nobody looks up an address that nothing is sent to"


def test_a_second_outcome_of_a_run_sends_nothing(house: House) -> None:
    house.created(2, house.webhook("/second"))
    house.ended(2, [])
    house.ended(2, [FIRST])
    request = house.asked(2, FIRST)
    house.send(request)
    assert refused_for_ever(house, request) == "not-owed"
    assert house.receiver.at("/second") == []


def test_what_a_second_outcome_asked_for_makes_up_for_nothing_that_the_first_one_owes(house: House) -> None:
    house.created(3, house.webhook("/owed"))
    house.ended(3, [FIRST])
    house.ended(3, [SECOND])
    house.asked(3, SECOND)
    assert house.is_unrequested(3)
    house.asked(3, FIRST)
    assert not house.is_unrequested(3)


def test_what_is_owed_is_sent_when_it_is_asked_for_anew(house: House) -> None:
    request = house.monitor(4, house.webhook("/anew"))
    job = action_job_id(request.job_id, request.action_id, request.recipient)
    house.send(
        ObligationRenewed(obligation=Owing.ACTION_OUTCOME, aggregate_id=4, subject=f"{job}:1", attempt=2)
    )
    assert [type(one) for one in house.said(request)] == [ActionSucceeded]
    assert [one.delivery_id for one in house.receiver.at("/anew")] == [request.delivery_id]


def test_what_waits_its_turn_in_a_process_that_lost_its_lease_is_not_sent(house: House) -> None:
    request = house.monitor(5, house.webhook("/lost", results=True))

    def may_see(user: str, repository_id: int) -> bool:
        end_session_of_slot(house.settings, HEADS_APP)
        return True

    house.may_see = may_see
    with closing(Slot.take(house.settings, HEADS_APP)) as house.locks, pytest.raises(SlotLost):
        house.send(request)
    assert house.said(request) == []
    assert house.receiver.at("/lost") == []
