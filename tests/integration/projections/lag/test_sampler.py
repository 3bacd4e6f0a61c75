"""The canary, who samples, and what becomes of a report."""

import threading
import time
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, text

from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import EVENT_INDEX
from projections.lag.canary import Canary
from projections.lag.model import LagReport
from projections.lag.sampler import Sampler, look_once
from projections.lag.states import State
from projections.lag.store import STALE_AFTER_S, as_known, history, lag_report, latest_report
from tests.integration.projections.lag.watching import (
    Watching,
)
from tests.support.running import running
from tests.support.system import eventually


def test_the_canary_is_seen_and_missed(settings: Settings, database: Engine, watching: Watching) -> None:
    quick = settings.model_copy(update={"canary_interval_s": 0.2})
    stop = threading.Event()
    canary = Canary(quick, database, stop, missing_after_s=5.0)
    thread = threading.Thread(target=canary.run)
    try:
        with running(settings, EVENT_INDEX):
            watching.until("event_index", State.OK)
            thread.start()
            found = eventually(
                lambda: canary.report() if canary.report().latency_s else None, "a canary to be seen"
            )
            assert found.latency_s is not None
            assert 0 < found.latency_s < 5.0
            assert found.reason == ""
        found = eventually(
            lambda: told if "not seen within" in (told := canary.report()).reason else None,
            "one to be missed",
        )
        assert found.waiting_s is not None
    finally:
        stop.set()
        thread.join(30)


def test_one_of_two_samples_and_the_other_takes_over(settings: Settings, database: Engine) -> None:
    quick = settings.model_copy(update={"lag_interval_s": 0.2, "canary_interval_s": 0.0})
    stops = [threading.Event(), threading.Event()]
    samplers = [Sampler(quick, database, stop) for stop in stops]
    threads = [threading.Thread(target=one.run) for one in samplers]

    def latest() -> LagReport | None:
        with database.connect() as connection:
            return latest_report(connection)

    try:
        began = datetime.now(UTC)
        for thread in threads:
            thread.start()
        eventually(lambda: (found := latest()) is not None and found.sampled_at > began, "a report")
        working = [one for one in samplers if one.latest is not None]
        assert len(working) == 1
        at = samplers.index(working[0])
        stops[at].set()
        threads[at].join(30)
        other = samplers[1 - at]
        eventually(lambda: other.latest is not None, "the other to take over")
        with database.connect() as connection:
            points = history(connection, ("millstream.projection.event_index.g1",))
        assert points["millstream.projection.event_index.g1"]
    finally:
        for stop in stops:
            stop.set()
        for thread in threads:
            thread.join(30)


def test_an_old_report_says_that_nobody_knows(settings: Settings, database: Engine) -> None:
    found = look_once(settings, database)
    assert as_known(found) is found
    old = replace(found, sampled_at=datetime.fromtimestamp(time.time() - 2 * STALE_AFTER_S, UTC))
    told = as_known(old)
    assert {one.state for one in told.groups} == {State.UNKNOWN}
    assert "nobody has looked since" in told.groups[0].reason


def test_the_app_may_read_the_report_and_not_write_it(settings: Settings) -> None:
    app = engine(settings, Role.APP)
    try:
        with app.connect() as connection:
            assert lag_report(connection)
            with pytest.raises(Exception, match=r"permission denied|read-only"):
                connection.execute(text("delete from runtime.lag_reports"))
    finally:
        app.dispose()
