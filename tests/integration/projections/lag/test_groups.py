"""Each state of a consumer group that is not ours, made to happen on a real broker and judged by the code that the sampler runs.

Windows are short here (seconds for minutes): the rules are the same, and ``test_lag_states`` has the table of them.
"""

import time

import pytest
from sqlalchemy import Engine

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.lag.model import GroupReport, Kind
from projections.lag.sampler import look_once
from projections.lag.states import State
from tests.integration.projections.lag.watching import DAY_MS, POLICIES, Watching, commit, member, say
from tests.support.system import eventually


def test_ok_and_exact_seconds(
    settings: Settings, publisher: Publisher, watching: Watching, topic: str
) -> None:
    group = f"g-{topic}"
    say(publisher, topic, 5)
    commit(settings, topic, group, 5)
    found = watching.until(group, State.OK)
    assert (found.kind, found.records, found.seconds, found.eta_s) == (Kind.FOREIGN, 0, 0.0, 0.0)
    assert found.members == 0
    assert "caught up" in found.reason

    before = time.time()
    say(publisher, topic, 1)
    after = time.time()
    say(publisher, topic, 1)
    found = watching.group(group)
    (part,) = found.partitions
    assert part.appended_at is not None
    assert before - 0.01 <= part.appended_at.timestamp() <= after + 0.01, (
        "of the next to read, not of the last read or written"
    )
    assert found.records == 2
    assert found.seconds == pytest.approx(time.time() - part.appended_at.timestamp(), abs=5.0)
    assert part.expires_in_s == pytest.approx(DAY_MS / 1000 - (part.seconds or 0), abs=1.0)
    assert part.headroom_records == 5


def test_stop_when_nobody_reads(
    settings: Settings, publisher: Publisher, watching: Watching, topic: str
) -> None:
    group = f"g-{topic}"
    say(publisher, topic, 3)
    commit(settings, topic, group, 1)
    found = watching.until(group, State.STOP)
    assert "nobody reads" in found.reason
    assert found.records == 2
    assert found.window[-1].next_offset == 1, "the window that led to it is told"


def test_stall_warn_and_ok_again(
    settings: Settings, publisher: Publisher, watching: Watching, topic: str
) -> None:
    group = f"g-{topic}"
    say(publisher, topic, 3)
    at = 1
    with member(settings, topic, group) as reader:
        reader.commit({(topic, 0): at}, wait=True)

        def stand_still() -> None:
            reader.poll(1, 0.0)

        found = watching.until(group, State.STALL, meanwhile=stand_still)
        assert "nothing has moved" in found.reason
        assert found.partitions[0].member is not None

        def fall_behind() -> None:
            nonlocal at
            at += 1
            say(publisher, topic, 30)
            reader.poll(1, 0.0)
            reader.commit({(topic, 0): at}, wait=True)

        found = watching.until(group, State.WARN, meanwhile=fall_behind)
        assert "falls behind" in found.reason
        assert found.slope is not None
        assert found.slope > 0
        assert found.eta_s is None, "at this pace it never clears"

        end = found.partitions[0].end

        def catch_up() -> None:
            reader.poll(1, 0.0)
            reader.commit({(topic, 0): end}, wait=True)

        assert watching.until(group, State.OK, meanwhile=catch_up).records == 0


def test_rewind(settings: Settings, publisher: Publisher, watching: Watching, topic: str) -> None:
    group = f"g-{topic}"
    say(publisher, topic, 9)
    commit(settings, topic, group, 9)
    assert watching.group(group).state is State.OK
    commit(settings, topic, group, 4)
    found = watching.group(group)
    assert found.state is State.REWIND
    assert "from 9 to 4" in found.reason


def test_empty(settings: Settings, publisher: Publisher, watching: Watching, topic: str) -> None:
    group = f"g-{topic}"
    say(publisher, topic, 2)
    with member(settings, topic, group):
        found = watching.group(group)
    assert found.state is State.EMPTY
    assert found.records == 0, "what was never committed is left out of sums"


def test_log_truncated_and_log_mismatch_of_a_foreign_group(
    settings: Settings, publisher: Publisher, admin: KafkaAdmin, watching: Watching, topic: str
) -> None:
    group = f"g-{topic}"
    say(publisher, topic, 9)
    commit(settings, topic, group, 4)
    admin.delete_records({(topic, 0): 7})
    found = watching.group(group)
    assert found.state is State.LOG_TRUNCATED
    assert "3 records deleted unread" in found.reason
    assert found.lost_records == 3
    other = f"{group}-2"
    with member(settings, topic, other, start=9) as reader:
        reader.commit({(topic, 0): 50}, wait=True)
    found = watching.group(other)
    assert found.state is State.LOG_MISMATCH
    assert "the log ends at 9" in found.reason
    admin.delete_topics([topic])
    eventually(lambda: topic not in admin.topics(), "the topic to be gone")
    assert watching.group(other).state is State.EMPTY, "a topic that is gone is no alarm"


def test_unknown_while_nobody_has_looked_long_enough(
    settings: Settings, database: Engine, publisher: Publisher, topic: str
) -> None:
    group = f"g-{topic}"
    say(publisher, topic, 3)
    with member(settings, topic, group) as reader:
        reader.commit({(topic, 0): 1}, wait=True)

        def seen() -> GroupReport | None:
            reader.poll(1, 0.0)
            (found,) = (one for one in look_once(settings, database, POLICIES).groups if one.group == group)
            return found if found.state is not State.OK else None

        found = eventually(seen, "the record to be older than the floor", timeout_s=90.0, poll_s=1.0)
    assert found.state is State.UNKNOWN
    assert "too short to tell" in found.reason
