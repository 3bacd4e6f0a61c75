"""What is on the log is no failure, even when nobody can say what became of it."""

import time

import pytest
from pydantic import SecretStr

from api.judging import wait_judged
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.judged import PENDING
from projections.reading import Reader
from schemas.envelope import Position
from schemas.topics import Topic


@pytest.mark.parametrize("timeout_s", [0.0, 0.6])
def test_a_database_that_is_gone_is_waited_for_and_then_the_verdict_is_pending(timeout_s: float) -> None:
    """Nothing listens on that port: it is reserved (discard)."""
    settings = Settings(
        database_url=SecretStr("postgresql://nobody@127.0.0.1:9/none"),
        database_app_password=SecretStr("x"),
        database_connect_timeout_s=2,
    )
    database = engine(settings, Role.APP, pool_size=3)
    reader = Reader(database)
    began_s = time.monotonic()
    try:
        judged = wait_judged(reader, Position(Topic.INSIGHTS, 0, 7), ["insights"], timeout_s)
    finally:
        reader.close()
        database.dispose()
    assert (judged.verdict.state, judged.visible) == (PENDING, False)
    assert time.monotonic() - began_s >= timeout_s - 0.25
