"""What stands in ``infra/prometheus`` and ``infra/grafana`` loads, and names metrics that a running system exports."""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from infra.installation import set_up
from infra.settings import Settings
from tests.stack import StackUnderTest, fresh_database
from tests.support.projecting import settings_for
from tests.support.projectors import ProjectorProcess
from tests.support.system import eventually

INFRA: Final = Path(__file__).parents[3] / "infra"
ALERTS: Final = INFRA / "prometheus" / "alerts.yml"
DASHBOARDS: Final = INFRA / "grafana" / "provisioning" / "dashboards"
_METRIC: Final = re.compile(r"\b(?:kafka|millstream)_[a-z_]+\b")


@pytest.fixture(scope="module")
def settings(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with fresh_database(stack.database_url, "monitoring") as url:
        found = settings_for(url, tmp_path_factory.mktemp("home"), stack.kafka_bootstrap)
        set_up(found)
        yield found


def promtool(*arguments: str) -> str:
    """What promtool says; it has to be content."""
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("MILLSTREAM_REQUIRE_PROMETHEUS") == "1":
            pytest.fail("promtool is required and not there: make promtool")
        pytest.skip("there is no promtool here: make promtool says why")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_loads_the_configuration_with_its_alerts() -> None:
    said = promtool("check", "config", str(INFRA / "prometheus" / "prometheus.yml"))
    assert "1 rule files found" in said


def test_the_alerts_fire_when_they_should_and_keep_silent_in_a_rebuild() -> None:
    promtool("test", "rules", str(INFRA / "prometheus" / "alerts_test.yml"))


def dashboards() -> list[dict[str, Any]]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))]
    assert found
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of every panel, every variable and every alert."""
    for dashboard in dashboards():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield f"panel {panel['title']}", target["expr"]
        for variable in dashboard["templating"]["list"]:
            yield f"variable {variable['name']}", variable["query"]["query"]
    words = ALERTS.read_text(encoding="utf-8")
    for name, rule in re.findall(r"- alert: (\w+)\n(.*?)(?=\n      - alert:|\Z)", words, re.DOTALL):
        yield f"alert {name}", re.split(r"\n        (?:for|labels|annotations):", rule)[0]


def test_panels_have_places_and_one_data_source() -> None:
    for dashboard in dashboards():
        places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
        assert len(set(places)) == len(places)
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)
        sources = {
            target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel["targets"]
        }
        (source,) = sources
        provisioned = (INFRA / "grafana" / "provisioning" / "datasources" / "millstream.yml").read_text()
        assert f"uid: {source}" in provisioned


def test_everything_that_a_panel_or_an_alert_names_is_exported(settings: Settings) -> None:
    named = {(where, name) for where, text in expressions() for name in _METRIC.findall(text)}
    assert len({name for _, name in named}) > 15
    with ProjectorProcess(
        settings, environ={"MILLSTREAM_METRICS_PORT": "0", "MILLSTREAM_CANARY_INTERVAL_S": "0.5"}
    ) as projector:

        def served() -> int | None:
            found = [line for line in projector.lines if line["action"] == "metrics_served"]
            return int(str(found[0]["port"])) if found else None

        port = eventually(served, "metrics to be served", timeout_s=60.0)

        def missing() -> set[tuple[str, str]]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            told = set(re.findall(r"^(?:# TYPE )?([a-z_]+)", text, re.MULTILINE))
            return {pair for pair in named if pair[1] not in told}

        left: set[tuple[str, str]] = set()

        def complete() -> bool:
            left.clear()
            left.update(missing())  # a process that is slow to answer is left out of one answer
            return not left

        try:
            eventually(complete, "every metric to be exported", timeout_s=90.0, poll_s=1.0)
        except AssertionError:
            assert left == set()
        assert projector.stop() == 0
