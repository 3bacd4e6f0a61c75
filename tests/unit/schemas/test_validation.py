"""What the edge refuses, and how it says so."""

from typing import Any

import orjson
import pytest

from schemas.codec import MAX_RECORD_BYTES, decode, encode
from schemas.envelope import Event, Record
from schemas.validation import EventRefused, event_from, problems, publication_problems
from tests.unit.schemas.files import GOLDEN

Body = dict[str, Any]
INSIGHT = "millstream.insight.created"
REGISTERED = "millstream.repository.registered"


def golden(name: str, version: int = 1) -> Body:
    body: Body = orjson.loads((GOLDEN / name / f"v{version}.json").read_bytes())
    return body


def structured(**changes: Any) -> Body:
    event: Body = {
        "specversion": "1.0",
        "id": "5b3ad9a0-0000-7000-8000-000000000001",
        "source": "//git.example.com/hooks",
        "type": REGISTERED,
        "time": "2026-03-04T05:06:07Z",
        "data": golden(REGISTERED),
    }
    event.update(changes)
    return {name: value for name, value in event.items() if value is not ...}


def said(event: object, *, external_only: bool = True) -> dict[str, str]:
    return {one.path: one.reason for one in publication_problems(event, external_only=external_only)}


@pytest.mark.parametrize(
    ("path", "change", "reason"),
    [
        ("$.title", {"title": ""}, "at least 1 characters"),
        ("$.title", {"title": "x" * 501}, "at most 500 characters"),
        ("$.insight_id", {"insight_id": 2**53}, "at most 9007199254740991"),
        ("$.insight_id", {"insight_id": "7"}, 'has to be a whole number, not "7"'),
        ("$.insight_id", {"insight_id": True}, "has to be a whole number, not true"),
        ("$.frames", {"frames": 1.5}, "has to be a whole number, not 1.5"),
        ("$.frames", {"frames": 12.0}, "Expected `int`"),
        ("$.created_at", {"created_at": "2021-08-27T15:29:00"}, "RFC 3339 time with a zone"),
        ("$.created_at", {"created_at": "yesterday"}, "RFC 3339 time with a zone"),
        ("$.series", {"series": []}, "at least 1 entries"),
        ("$.colour", {"colour": "red"}, "is no field of this type"),
        ("$", {"title": "a\x00b"}, "NUL"),
    ],
)
def test_a_wrong_field_is_named(path: str, change: Body, reason: str) -> None:
    found = problems(INSIGHT, 1, orjson.dumps(golden(INSIGHT) | change))
    assert [one.path for one in found] == [path]
    assert reason in found[0].reason


@pytest.mark.parametrize(
    ("path", "change", "reason"),
    [
        ("$.series[1].unit", {"unit": "month"}, "did you mean MONTH?"),
        ("$.series[1].value", {"value": 0}, "at least 1"),
        ("$.series[1].series_id", {"series_id": "x"}, "has to match"),
        ("$.series[1].repositories[0]", {"repositories": ["a", 1]}, "has to be a whole number"),
        ("$.series[1].criteria", {"criteria": 7}, "has to be text, not 7"),
        ("$.series[1].lineColor", {"lineColor": "x"}, "is no field of this type"),
    ],
)
def test_a_wrong_field_below_is_named(path: str, change: Body, reason: str) -> None:
    body = golden(INSIGHT)
    body["series"][1] |= change
    found = problems(INSIGHT, 1, orjson.dumps(body))
    assert [one.path for one in found] == [path]
    assert reason in found[0].reason


def test_all_problems_are_told_at_once() -> None:
    body = golden(INSIGHT) | {"title": "", "frames": 0, "x": 1}
    del body["creator"]
    found = [one.path for one in problems(INSIGHT, 1, orjson.dumps(body))]
    assert found == ["$.creator", "$.frames", "$.title", "$.x"]


def test_rules_between_fields_are_told_too() -> None:
    body = golden("millstream.search.completed")
    body["series"][0]["values"].append(1)
    found = problems("millstream.search.completed", 1, orjson.dumps(body))
    assert [(one.path, one.reason) for one in found] == [("$.series[0]", "3 values for 2 indexes")]


def test_a_long_value_is_not_repeated_whole() -> None:
    found = problems(INSIGHT, 1, orjson.dumps(golden(INSIGHT) | {"frames": "x" * 10_000}))
    assert len(found[0].reason) < 200


@pytest.mark.parametrize(
    ("name", "version", "data", "reason"),
    [
        (INSIGHT, 1, b"{", "is not JSON"),
        (INSIGHT, 1, b"\xff", "is not JSON"),
        (INSIGHT, 1, b"[]", "has to be an object"),
        (INSIGHT, 2, b"{}", "has no version 2"),
        ("millstream.insight.creatd", 1, b"{}", "did you mean millstream.insight.created?"),
    ],
)
def test_what_is_no_payload_at_all(name: str, version: int, data: bytes, reason: str) -> None:
    found = problems(name, version, data)
    assert [one.path for one in found] == ["$"]
    assert reason in found[0].reason


def test_a_good_event_has_no_problem() -> None:
    assert said(structured()) == {}
    assert said(structured(dataschema="https://x/schemas/millstream.repository.registered/v1")) == {}
    assert (
        said(
            structured(
                subject=str(golden(REGISTERED)["repository_id"]),
                datacontenttype="application/json; charset=utf-8",
            )
        )
        == {}
    )


@pytest.mark.parametrize(
    ("path", "change", "reason"),
    [
        ("$.id", {"id": ...}, "is required"),
        ("$.id", {"id": ""}, "is required"),
        ("$.id", {"id": 5}, "has to be text"),
        ("$.id", {"id": "x" * 1025}, "longer than 1024 bytes"),
        ("$.source", {"source": None}, "is required"),
        ("$.specversion", {"specversion": "0.3"}, "has to be '1.0'"),
        ("$.time", {"time": ...}, "is required"),
        ("$.time", {"time": "2026-03-04"}, "RFC 3339"),
        ("$.time", {"time": "2026-03-04T05:06:07"}, "RFC 3339"),
        (
            "$.type",
            {"type": "millstream.repository.registred"},
            "did you mean millstream.repository.registered?",
        ),
        ("$.dataschema", {"dataschema": "x/millstream.repository.registered/v9"}, "has to end in"),
        ("$.dataschema", {"dataschema": "x/millstream.repository.renamed/v1"}, "has to end in"),
        ("$.subject", {"subject": "7"}, "has to be"),
        ("$.data", {"data": ...}, "is required"),
        ("$.data", {"data": None}, "has to be an object"),
        ("$.datacontenttype", {"datacontenttype": "text/plain"}, "has to be 'application/json'"),
        ("$.expectedversion", {"expectedversion": "-1"}, "has to be a whole number"),
        ("$.Trace-Id", {"Trace-Id": "x"}, "is no attribute"),
        ("$.extra", {"extra": {"a": 1}}, "has to be text"),
    ],
)
def test_a_wrong_attribute_is_named(path: str, change: Body, reason: str) -> None:
    found = said(structured(**change))
    assert list(found) == [path]
    assert reason in found[path]


def test_a_wrong_field_of_the_data_is_named_from_the_root() -> None:
    found = said(structured(data=golden(REGISTERED) | {"fork": "yes", "nmae": "x"}))
    assert found == {
        "$.data.fork": 'has to be true or false, not "yes"',
        "$.data.nmae": "is no field of this type",
    }


@pytest.mark.parametrize("event", [None, [], "x", 7])
def test_what_is_no_event_at_all(event: object) -> None:
    assert list(said(event)) == ["$"]


@pytest.mark.parametrize("version", [1, 2])
def test_internal_types_are_for_our_own_agents(version: int) -> None:
    name = "millstream.search.completed"
    data = golden(name, version)
    event = structured(type=name, dataschema=f"millstream://schemas/{name}/v{version}", data=data)
    assert "own agents only" in said(event)["$.type"]
    assert said(event, external_only=False) == {}
    other = structured(type=name, dataschema=f"millstream://schemas/{name}/v{3 - version}", data=data)
    assert said(other, external_only=False) != {}


def test_an_event_that_is_too_large_is_refused() -> None:
    pushed = "millstream.repository.pushed"
    moves = [{"ref": "x" * 4_000, "old": None, "new": "a" * 40}] * (MAX_RECORD_BYTES // 4_000)
    event = structured(type=pushed, data=golden(pushed) | {"refs": moves})
    assert "too large" in said(event)["$"]


@pytest.mark.parametrize(
    "url",
    [
        "https://alice:s3cret@git.example.com/a",
        "https://t0ken@git.example.com/a",
        "https://git.example.com/a?private_token=x",
    ],
)
def test_no_credential_goes_on_the_log(url: str) -> None:
    assert "credential" in said(structured(data=golden(REGISTERED) | {"clone_url": url}))["$.data.clone_url"]


def test_the_user_of_ssh_is_no_credential() -> None:
    assert said(structured(data=golden(REGISTERED) | {"clone_url": "ssh://git@git.example.com/a"})) == {}


def test_what_the_edge_lets_in_readers_can_read() -> None:
    event = event_from(structured(correlationid="c1", expectedversion=3, region="eu", subject=None))
    assert (event.correlation_id, event.expected_version, event.extensions) == ("c1", 3, {"region": "eu"})
    key, value, headers = encode(event)
    found = decode(Record("millstream.repositories", 0, 0, 0, key, value, headers))
    assert isinstance(found, Event)
    assert found == event


def test_a_refusal_says_all_and_what_to_do() -> None:
    with pytest.raises(EventRefused) as caught:
        event_from(structured(id=..., data={}))
    assert "$.id: is required" in str(caught.value)
    assert {one.path for one in caught.value.problems} == {"$.id", "$.data.repository_id", "$.data.name"}
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("path", "change", "reason"),
    [
        ("$.data.repository_id", {"repository_id": 7}, "has to be "),
        ("$.data.name", {"name": "GIT.example.com/x.git"}, "has to be canonical: 'git.example.com/x'"),
    ],
)
def test_a_repository_is_registered_under_the_id_of_its_name(path: str, change: Body, reason: str) -> None:
    found = said(structured(data={**golden(REGISTERED), **change}))
    assert set(found) == {path}
    assert reason in found[path]
