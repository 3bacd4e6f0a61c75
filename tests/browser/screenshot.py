"""The README's picture, from the demo's own insight: ``python -m tests.browser.screenshot [docs/images/insight.png]``.

Starts a Millstream of its own, counts the sample repositories, and photographs the page with a hovered point.
"""

import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from api.auth.login_links import make_login_link
from api.demo.definition import FRAMES, migration
from api.demo.samples import make_samples
from tests.browser.charts import drawn, wait_until_counted, wait_until_drawn
from tests.browser.conftest import LAUNCH_ARGUMENTS
from tests.support.system import RunningSystem, running_system

WIDTH, HEIGHT = 1180, 815
_CREATE = """
mutation ($input: LineChartSearchInsightInput!) {
  createLineChartSearchInsight(input: $input) { view { databaseID } }
}"""


def take(target: Path) -> None:
    """Makes the picture and writes it to ``target``."""
    with (
        running_system() as system,
        tempfile.TemporaryDirectory(prefix="samples-") as folder,
        sync_playwright() as playwright,
    ):
        path = _create(system, Path(folder))
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(LAUNCH_ARGUMENTS)
        )
        try:
            _photograph(chromium, system, path, target)
        finally:
            chromium.close()


def _create(system: RunningSystem, folder: Path) -> str:
    samples = make_samples(folder, datetime.now(UTC))
    for sample in samples:
        system.cli("repo", "add", str(sample.path), "--name", sample.name, "--wait")
    wish = migration(())
    given: dict[str, Any] = {
        "options": {"title": wish.title},
        "dataSeries": [
            {"query": line.query, "options": {"label": line.label, "lineColor": line.color}}
            for line in wish.series
        ],
        "repositoryScope": {"repositories": [sample.name for sample in samples]},
        "timeScope": {"stepInterval": {"unit": wish.interval.unit.value, "value": wish.interval.value}},
        "frames": FRAMES,
        "description": "Counted over the history of three repositories, one point a month.",
    }
    made = system.graphql(_CREATE, {"input": given})
    return f"/insights/{made['createLineChartSearchInsight']['view']['databaseID']}"


def _photograph(chromium: Browser, system: RunningSystem, path: str, target: Path) -> None:
    context = chromium.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2, color_scheme="light"
    )
    page = context.new_page()
    page.goto(make_login_link(system.home, system.url))
    page.wait_for_url(f"{system.url}/insights")
    page.goto(f"{system.url}{path}")
    wait_until_counted(page)
    wait_until_drawn(page)
    rising = page.evaluate("window.millstream.chart.drawn.at(-1).label")
    mark = drawn(page, rising)[-2]
    page.locator("#chart canvas").hover(position={"x": mark["x"], "y": mark["y"]}, force=True)
    page.locator(".tip").wait_for()
    page.evaluate("document.fonts.ready")
    target.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=target, clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/insight.png"))
