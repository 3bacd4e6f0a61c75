"""Bytes that would have ended a process further on: readers and the edge refuse them, and name the field."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from schemas.codec import Undecodable, decode
from schemas.envelope import Event, Headers, Record
from schemas.events import REGISTRY
from schemas.grid import Interval, TimeUnit
from schemas.limits import MAX_MESSAGE_BYTES, check_bytes, shortened
from schemas.validation import problems, publication_problems
from tests.unit.schemas.files import GOLDEN

Change = dict[str, Any]
INSIGHT, REGISTERED = "millstream.insight.created", "millstream.repository.registered"
RENAMED, UPDATED = "millstream.repository.renamed", "millstream.repository.updated"
REQUESTED, DISPATCHED = "millstream.recording.requested", "millstream.recording.dispatched"
COMPLETED, FAILED = "millstream.search.completed", "millstream.search.failed"
CLONE_FAILED = "millstream.repository.clone_failed"


def golden(name: str, version: int = 1) -> Any:
    return orjson.loads((GOLDEN / name / f"v{version}.json").read_bytes())


def key_of(name: str, body: Any) -> bytes:
    if name == REQUESTED:
        return str(body["request"]["repository_id"]).encode()
    if name == DISPATCHED:
        return str(body["requests"][0]["request"]["repository_id"]).encode()
    return str(body["insight_id" if name == INSIGHT else "repository_id"]).encode()


def binary(
    name: str, data: bytes, key: bytes, version: int = 1, attributes: Mapping[str, bytes] | None = None
) -> Record:
    event_type = REGISTRY.latest(name)
    assert event_type is not None
    found = {
        "ce_specversion": b"1.0",
        "ce_id": b"e",
        "ce_source": b"//test",
        "ce_type": name.encode(),
        "ce_dataschema": f"millstream://schemas/{name}/v{version}".encode(),
        "ce_time": b"2026-03-04T05:06:07Z",
        **{f"ce_{attribute}": value for attribute, value in (attributes or {}).items()},
    }
    return Record(event_type.topics[0], 0, 0, 0, key, data, tuple(found.items()))


def changed(name: str, where: str, value: Any, version: int = 1) -> Any:
    """The golden payload with the field at ``where`` (dots, numbers for places in lists) replaced."""
    body = golden(name, version)
    node = body
    *steps, last = [int(step) if step.isdigit() else step for step in where.split(".")]
    for step in steps:
        node = node[step]
    node[last] = value
    return body


def series(count: int, end: int) -> list[Change]:
    return [
        {"series_id": "s:" + f"{n:064X}", "query": "q", "unit": "HOUR", "value": 1, "frames": [[0, end]]}
        for n in range(count)
    ]


LONG = "é" * 1_000
FIELDS = [
    (INSIGHT, "created_at", "1969-06-01T00:00:00Z", "$.created_at"),
    (INSIGHT, "created_at", "0001-01-01T00:00:00+14:00", "$.created_at"),
    (INSIGHT, "created_at", "9999-12-31T23:59:59-14:00", "$.created_at"),
    (INSIGHT, "created_at", "1970-01-01T00:00:00+01:00", "$.created_at"),
    (INSIGHT, "creator", "x" * 501, "$.creator"),
    (INSIGHT, "series.0.unit", "DAY", "$.series[0].series_id"),
    (INSIGHT, "series.0.query", "other", "$.series[0].series_id"),
    (INSIGHT, "series.0.criteria", "x" * 10_001, "$.series[0].criteria"),
    (DISPATCHED, "deadline", "9999-12-31T23:59:59-14:00", "$.deadline"),
    (DISPATCHED, "requests.0.location.path", "/" + "x" * 256, "$.requests[0].location.path"),
    (DISPATCHED, "requests.0.location.clone_url", "https://[x", "$.requests[0].location.clone_url"),
    (REQUESTED, "request.request_id", "x" * 3_000, "$.request.request_id"),
    (REQUESTED, "request.request_id", "é" * 101, "$.request.request_id"),
    (REQUESTED, "request.request_id", "", "$.request.request_id"),
    (REQUESTED, "request.series", series(2, 60_000), "$.request.series"),
    (REQUESTED, "request.series", series(1_001, 1), "$.request.series"),
    (REQUESTED, "request.series.0.query", "x" * 10_001, "$.request.series[0].query"),
    (REQUESTED, "request.cost", -1, "$.request.cost"),
    (RENAMED, "name", "h/" + LONG, "$.name"),
    (RENAMED, "name", "h/a\n", "$.name"),
    (REGISTERED, "name", "h/" + LONG, "$.name"),
    (REGISTERED, "clone_url", "https://[x", "$.clone_url"),
    (REGISTERED, "clone_url", "https://h:port/x", "$.clone_url"),
    (REGISTERED, "clone_url", "https://h/" + "x" * 200_000, "$.clone_url"),
    (REGISTERED, "clone_url", "https://h/" + LONG, "$.clone_url"),
    (REGISTERED, "clone_url", "user:pw@h.example:a/b", "$.clone_url"),
    (REGISTERED, "clone_url", "user:p/w@h.example:a/b", "$.clone_url"),
    (REGISTERED, "clone_url", "https://h.example/a#token=x", "$.clone_url"),
    (REGISTERED, "clone_url", "git@h.example:a#token=x", "$.clone_url"),
    (REGISTERED, "clone_url", "https://h.example/a\n", "$.clone_url"),
    (UPDATED, "default_branch", "é" * 501, "$.default_branch"),
    (UPDATED, "default_branch", "x" * 1_001, "$.default_branch"),
    (COMPLETED, "request_id", "x" * 3_000, "$.request_id"),
    (COMPLETED, "engine", "x" * 101, "$.engine"),
    (COMPLETED, "series.0.incomplete.0.reason", "x" * 3_000, "$.series[0].incomplete[0].reason"),
    (COMPLETED, "series.0.incomplete.0.commit", "HEAD", "$.series[0].incomplete[0].commit"),
    (FAILED, "reason", "x" * 3_000, "$.reason"),
    (FAILED, "message", "é" * 2_001, "$.message"),
    (CLONE_FAILED, "message", "x" * 4_001, "$.message"),
]


@pytest.mark.parametrize(("name", "where", "value", "path"), FIELDS)
def test_a_field_out_of_bounds_is_named_by_readers_and_edge(
    name: str, where: str, value: Any, path: str
) -> None:
    body = changed(name, where, value)
    data = orjson.dumps(body)
    found = decode(binary(name, data, key_of(name, body)))
    assert isinstance(found, Undecodable)
    assert found.path == path
    assert len(found.reason) <= 300
    assert path in {one.path for one in problems(name, 1, data)}


@pytest.mark.parametrize("commit", ["HEAD", "A" * 40, "a" * 39 + " ", "a" * 41, "é" * 40, "a" * 40 + "\n"])
def test_a_commit_is_a_full_id_or_empty(commit: str) -> None:
    body = changed(COMPLETED, "series.0.commits.1", commit)
    data = orjson.dumps(body)
    found = decode(binary(COMPLETED, data, key_of(COMPLETED, body)))
    assert isinstance(found, Undecodable)
    assert found.path == "$.series[0].commits"
    assert problems(COMPLETED, 1, data)[0].path == "$.series[0].commits[1]"


@pytest.mark.parametrize("commit", ["", "a" * 40, "0" * 64])
def test_commits_may_be_empty_or_of_either_length(commit: str) -> None:
    body = changed(COMPLETED, "series.0.commits.1", commit)
    body["series"][0]["incomplete"][0]["commit"] = commit
    data = orjson.dumps(body)
    assert isinstance(decode(binary(COMPLETED, data, key_of(COMPLETED, body))), Event)
    assert problems(COMPLETED, 1, data) == []


@pytest.mark.parametrize("commit", ["HEAD", "A" * 40, "a" * 39 + " ", "a" * 41, "é" * 40, "a" * 40 + "\n"])
def test_the_table_of_commits_is_checked_once_for_all(commit: str) -> None:
    data = orjson.dumps(body := changed(COMPLETED, "commits.1", commit, 2))
    found = decode(binary(COMPLETED, data, key_of(COMPLETED, body), 2))
    assert isinstance(found, Undecodable)
    assert found.path == "$.commits"
    assert problems(COMPLETED, 2, data)[0].path == "$.commits[1]"


BETWEEN_FIELDS = [
    ("series.0.commit_refs.1", 2, "$.series", "beyond the 2 commits"),
    ("series.0.commit_refs.1", -1, "$.series[0].commit_refs[1]", "`int` >= 0"),
    ("series.0.commit_refs", [0], "$.series[0].commit_refs", "1 commit_refs for 2 indexes"),
    ("series.0.incomplete.0.commit_ref", 2, "$.series", "beyond the 2 commits"),
    ("series.0.values", [1], "$.series[0]", "1 values for 2 indexes"),
    ("series.0.indexes", [663, 671, 672], "$.series[0]", "2 values for 3 indexes"),
    ("series.0.indexes", [663, 670], "$.series[0]", "is not covered"),
    ("series.0.captures", ["a"], "$.series[0]", "1 captures for 2 indexes"),
    ("commits", [], "$.series", "beyond the 0 commits"),
    ("snapshot", None, "$.snapshot", "has to be given"),
]


@pytest.mark.parametrize(("where", "value", "path", "reason"), BETWEEN_FIELDS)
def test_a_result_that_contradicts_itself(where: str, value: Any, path: str, reason: str) -> None:
    data = orjson.dumps(body := changed(COMPLETED, where, value, 2))
    found = decode(binary(COMPLETED, data, key_of(COMPLETED, body), 2))
    assert isinstance(found, Undecodable)
    assert found.path == path
    assert reason in found.reason
    assert problems(COMPLETED, 2, data) != []


def test_a_result_without_any_commit_is_one() -> None:
    body = golden(COMPLETED, 2) | {"commits": []}
    body["series"][0]["commit_refs"] = []
    body["series"][0]["incomplete"][0]["commit_ref"] = None
    data = orjson.dumps(body)
    assert isinstance(decode(binary(COMPLETED, data, key_of(COMPLETED, body), 2)), Event)
    assert problems(COMPLETED, 2, data) == []


@pytest.mark.parametrize("component", ["x" * 256, "é" * 128])
def test_a_path_that_no_file_system_takes(component: str) -> None:
    body = golden(REGISTERED) | {"clone_url": None, "path": f"/srv/{component}"}
    data = orjson.dumps(body)
    found = decode(binary(REGISTERED, data, key_of(REGISTERED, body)))
    assert isinstance(found, Undecodable)
    assert found.path == problems(REGISTERED, 1, data)[0].path == "$.path"


def test_a_request_near_the_limit_of_the_log_is_refused() -> None:
    one = golden(REQUESTED)["request"]["series"][0]
    body = changed(REQUESTED, "request.series", [one | {"query": "x" * 9_900}] * 50)
    data = orjson.dumps(body)
    found = decode(binary(REQUESTED, data, key_of(REQUESTED, body)))
    assert isinstance(found, Undecodable)
    assert "266,240" in found.reason
    assert found.path == problems(REQUESTED, 1, data)[0].path == "$"


ATTRIBUTES = [
    ("id", "x" * 1_025),
    ("id", "é" * 513),
    ("id", "a\0"),
    ("source", "a\0"),
    ("correlationid", "x" * 3_000),
    ("region", "a\0"),
    ("x" * 1_025, "a"),
    ("time", "1969-12-31T23:59:59Z"),
    ("time", "0001-01-01T00:00:00+14:00"),
    ("time", "9999-12-31T23:59:59-14:00"),
]


@pytest.mark.parametrize(("name", "value"), ATTRIBUTES)
def test_attributes_are_bounded_in_both_modes_and_at_the_edge(name: str, value: str) -> None:
    body = golden(REGISTERED)
    key = key_of(REGISTERED, body)
    plain = binary(REGISTERED, orjson.dumps(body), key, attributes={name: value.encode()})
    event = {header[3:]: text.decode() for header, text in plain.headers} | {"data": body}
    mode: Headers = (("content-type", b"application/cloudevents+json"),)
    structured = Record(plain.topic, 0, 0, 0, key, orjson.dumps(event), mode)
    for record in (plain, structured):
        found = decode(record)
        assert isinstance(found, Undecodable)
        assert found.path == f"ce_{name}"[:300]
    assert publication_problems(event)[0].path.startswith(f"$.{name[:60]}")


@pytest.mark.parametrize("depth", [300, 2_000, 100_000])
def test_no_depth_raises(depth: int) -> None:
    body = golden(REGISTERED)
    deep = b"[" * depth + b"]" * depth
    data = orjson.dumps(body)[:-1] + b',"later":' + deep + b"}"
    key = key_of(REGISTERED, body)
    assert isinstance(decode(binary(REGISTERED, data, key)), Event | Undecodable)
    plain = binary(REGISTERED, data, key)
    event = {header[3:]: text.decode() for header, text in plain.headers}
    for whole in (
        orjson.dumps(event)[:-1] + b',"data":' + data + b"}",
        orjson.dumps(event)[:-1] + b',"more":' + deep + b',"data":{}}',
    ):
        mode: Headers = (("content-type", b"application/cloudevents+json"),)
        assert isinstance(decode(Record(plain.topic, 0, 0, 0, key, whole, mode)), Undecodable)


@pytest.mark.parametrize("value", ["\ud800", 1 << 70, {1: 2}, {"a": object()}])
def test_what_no_json_can_hold_is_a_problem_and_no_exception(value: object) -> None:
    assert [one.path for one in publication_problems({"specversion": "1.0", "id": value})] == ["$"]


@pytest.mark.parametrize("url", ["git@h.example:a/b.git", "h.example:x/a@b", "ssh://git@h.example:22/a@b"])
def test_addresses_without_a_secret_are_taken(url: str) -> None:
    assert problems(REGISTERED, 1, orjson.dumps(golden(REGISTERED) | {"clone_url": url})) == []


@pytest.mark.parametrize("unit", TimeUnit)
def test_there_is_no_backfill_before_1970(unit: TimeUnit) -> None:
    assert Interval(unit).newest(12, datetime(1969, 6, 1, tzinfo=UTC)) == range(0)


def test_a_message_is_cut_to_what_is_taken() -> None:
    for text in ("short", "x" * 5_000, "é" * 5_000, "\ud800" * 5_000):
        check_bytes("message", shortened(text), MAX_MESSAGE_BYTES)
    assert shortened("short") == "short"
