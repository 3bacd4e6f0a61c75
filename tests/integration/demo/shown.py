"""Two runs of the demo in one home, and what topics and tables say of them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from api.demo.figures import Figures
from infra.settings import Settings, load_settings
from tests.integration.demo.recount import Recount, Told, told_of
from tests.integration.demo.running import Run
from tests.integration.demo.staying import Stayed


@dataclass(frozen=True, slots=True)
class Shown:
    """Two runs in one home, and what topics and tables say after each."""

    home: Path
    folder: Path
    first: Run
    second: Run
    stayed: Stayed
    """What was seen before the second run was interrupted."""
    first_recount: Recount
    second_recount: Recount
    tables: dict[tuple[str, datetime], int]
    told: list[Told]
    """Of the first run and the second: what the topics say of its delivery and its upload."""

    @property
    def figures(self) -> Figures:
        assert self.first.figures is not None
        return self.first.figures


def settings_of(home: Path) -> Settings:
    """Settings of the stack that runs in this home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLSTREAM_HOME", str(home))
        return load_settings()


def told_by(run: Run, home: Path) -> Told:
    """What the topics say of the delivery and the upload that this run has shown."""
    assert run.figures is not None, run.story
    present = run.figures.present
    assert present is not None
    assert present.caught is not None
    assert present.uploaded is not None
    return told_of(settings_of(home), present.caught.delivery_id, int(present.uploaded.upload_id))
