"""Kafka's own tool sees the lag that we see, at random moments under load (``bench/agreement.py`` takes twenty)."""

from pathlib import Path
from uuid import uuid4

import pytest

from bench.agreement import PARTITIONS, compare, load, prepared
from infra.installation import set_up
from infra.settings import Settings
from tests.stack import StackUnderTest
from tests.support.outside import Unavailable, tools_jar
from tests.support.projecting import settings_for

MOMENTS = 3


@pytest.fixture
def settings(stack: StackUnderTest, database: str, tmp_path: Path) -> Settings:
    found = settings_for(database, tmp_path / "home", stack.kafka_bootstrap)
    set_up(found)
    return found


def test_an_outside_tool_agrees(settings: Settings) -> None:
    try:
        tools_jar()
    except Unavailable as error:
        pytest.skip(str(error))
    name = f"load-{uuid4().hex[:8]}"
    prepared(settings, name)
    with load(settings, name, name) as moving:
        found = compare(settings, name, moving, MOMENTS, seed=7)
    assert len(found) == MOMENTS * PARTITIONS
    assert [one for one in found if not one.agrees] == []
    assert any(one.between > 0 for one in found if not one.held), "it was under load"
    assert all(one.ours == one.tool > 0 for one in found if one.held), "with nothing between, the same"
