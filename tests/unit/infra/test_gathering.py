"""Metrics of several processes on one port."""

import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.gathering import Page, merged

ONE = """\
# HELP e_total Events.
# TYPE e_total counter
e_total{projection="a"} 3.0
e_total 2.0
# HELP s Seconds.
# TYPE s histogram
s_bucket{le="1.0"} 1.0
s_bucket{le="+Inf"} 2.0
s_count 2.0
s_sum 4.5
# HELP g Lag.
# TYPE g gauge
g{projection="a"} 5.0
"""
OTHER = ONE.replace('projection="a"} 3.0', 'projection="b"} 4.0').replace("5.0", "7.0")


def values(texts: list[str]) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in merged(texts)
        for sample in family.samples
    }


def test_counts_are_added_and_of_a_gauge_the_greatest_counts() -> None:
    assert values([ONE, OTHER]) == {
        ("e_total", "a"): 3.0,
        ("e_total", "b"): 4.0,
        ("e_total", ""): 4.0,
        ("s_bucket", "1.0"): 2.0,
        ("s_bucket", "+Inf"): 4.0,
        ("s_count", ""): 4.0,
        ("s_sum", ""): 9.0,
        ("g", "a"): 7.0,
    }
    assert {family.name: family.type for family in merged([ONE, OTHER])} == {
        "e": "counter",
        "s": "histogram",
        "g": "gauge",
    }


@pytest.fixture
def page() -> Iterator[tuple[Page, list[str]]]:
    texts = [ONE]
    with Page(0, lambda: texts) as found:
        yield found, texts


def test_the_page_serves_what_all_say_now_on_loopback(page: tuple[Page, list[str]]) -> None:
    served, texts = page
    for wanted in ("e_total 2.0", "e_total 4.0"):
        answers: list[str] = []

        def read(answers: list[str] = answers) -> None:
            with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=10) as answer:
                answers.append(answer.read().decode())

        reader = threading.Thread(target=read)
        reader.start()
        served.serve(10.0)
        reader.join()
        assert wanted in answers[0]
        assert "# TYPE e_total counter" in answers[0]
        texts.append(OTHER)


def test_a_client_that_asks_for_nothing_holds_nobody_up_for_long(page: tuple[Page, list[str]]) -> None:
    served, _ = page
    with socket.create_connection(("127.0.0.1", served.port)):
        served.serve(10.0)  # would not return if it waited for the request


def test_nobody_asks_and_the_page_returns(page: tuple[Page, list[str]]) -> None:
    page[0].serve(0.01)


CHILD = """
import os, signal, sys
from infra.gathering import Line
from infra.metrics import PROJECTION_EVENTS
print("never", Line().ask(0.01))
line = Line()
child = os.fork()
if child == 0:
    PROJECTION_EVENTS.labels("forked").inc(7)
    line.answer()
    while True:
        signal.pause()
line.handed_over()
first = line.ask(10.0) or ""
print("first", "forked" in first)
os.kill(child, signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
print("stopped", line.ask(0.2) == first)
print("stopped", line.ask(0.2) == first)
os.kill(child, signal.SIGCONT)
print("woken", (line.ask(10.0) or "").count("# TYPE millstream_projection_events_total"))
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print("gone", line.ask(10.0))
"""


def test_a_child_that_is_paused_counts_as_it_last_did_and_one_that_has_gone_does_not() -> None:
    """A sum that falls is a reset to Prometheus, which adds the whole count again when the child is back."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = [line for line in done.stdout.splitlines() if "metrics_late" not in line]
    assert told == ["never None", "first True", "stopped True", "stopped True", "woken 1", "gone None"]
