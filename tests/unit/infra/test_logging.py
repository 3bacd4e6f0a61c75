"""One event per line, each with an action, whoever speaks."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog

from infra.logging import configure


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_name_action_process_and_time() -> None:
    stream = io.StringIO()
    configure("projector", stream=stream)
    structlog.get_logger("x").info("batch_applied", projection="insights", events=3)
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "action": "batch_applied",
        "projection": "insights",
        "events": 3,
        "process": "projector",
        "level": "info",
    }


def test_libraries_speak_through_the_same_lines() -> None:
    stream = io.StringIO()
    configure("worker", stream=stream)
    logging.getLogger("kafka.conn").warning("broker %s gone", 1)
    logging.getLogger("faust.worker").info("not heard")
    (line,) = lines(stream)
    assert (line["action"], line["logger"], line["message"]) == (
        "library_said",
        "kafka.conn",
        "broker 1 gone",
    )


def test_an_exception_stands_on_its_line() -> None:
    stream = io.StringIO()
    configure("worker", stream=stream)
    try:
        raise ValueError("spoilt")
    except ValueError:
        structlog.get_logger().exception("it_broke")
    (line,) = lines(stream)
    assert line["action"] == "it_broke"
    assert "ValueError: spoilt" in line["exception"]


@pytest.mark.parametrize("json", [True, False])
def test_local_variables_are_never_written(json: bool) -> None:
    stream = io.StringIO()
    configure("worker", json=json, stream=stream)
    password = "s3c" + "ret"
    try:
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger().exception("it_broke")
    assert "it_broke" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


def test_the_last_configuration_counts() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("a", stream=first)
    configure("b", stream=second, level="warning")
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("loud")
    assert first.getvalue() == ""
    assert [line["action"] for line in lines(second)] == ["loud"]
