"""CloudEvents over HTTP as they are read: modes, headers, and what the edge adds."""

from datetime import UTC, datetime

import orjson
import pytest
from starlette.datastructures import Headers

from api.http.events_input import NotRead, completed, explained, is_internal, received
from api.http.idempotency import KeyRefused, idempotency_key
from schemas.events import REGISTRY
from schemas.payloads import parse_time
from schemas.validation import FieldProblem, event_from, publication_problems

NOW = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
REMOVED = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "//git.example.com/hooks",
    "type": "millstream.repository.removed",
    "data": {"repository_id": 7},
}


def binary(**more: str) -> list[tuple[bytes, bytes]]:
    attributes = {f"ce-{name}": value for name, value in REMOVED.items() if isinstance(value, str)}
    headers = {"content-type": "application/json", **attributes, **more}
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


BODY = orjson.dumps(REMOVED["data"])


def test_binary_and_structured_mode_say_the_same() -> None:
    structured = received(
        [(b"content-type", b"application/cloudevents+json; charset=UTF-8")], orjson.dumps(REMOVED)
    )
    assert received(binary(), BODY).events == structured.events == [REMOVED]
    assert not structured.is_batch


def test_header_values_are_percent_decoded_and_this_hop_s_trace_is_taken() -> None:
    headers = binary(ce_subject="7", ce_team="caf%C3%A9 100%25", ce_traceparent="begin", traceparent="hop")
    (event,) = received(headers, BODY).events
    assert isinstance(event, dict)
    assert (event["team"], event["traceparent"], event["subject"]) == ("café 100%", "hop", "7")


def test_a_batch_is_a_list() -> None:
    kind = [(b"content-type", b"application/cloudevents-batch+json")]
    found = received(kind, orjson.dumps([REMOVED, 5]))
    assert (found.is_batch, found.events) == (True, [REMOVED, 5])
    for body in (b"{}", b"[]", orjson.dumps([1] * 1001)):
        with pytest.raises(NotRead) as caught:
            received(kind, body)
        assert (caught.value.status, caught.value.problems[0].path) == (400, "$")


@pytest.mark.parametrize(
    ("headers", "body", "status", "path"),
    [
        ([(b"content-type", b"application/json")], b"{}", 415, None),
        ([(b"content-type", b"text/plain"), (b"ce-id", b"1")], b"{}", 415, None),
        ([(b"content-type", b"application/cloudevents+json")], b"{", 400, "$"),
        (binary(), b"{", 400, "$.data"),
        ([*binary(), (b"ce-id", b"2")], BODY, 400, "$.id"),
        ([*binary(), (b"ce-team", b"\xff")], BODY, 400, "$.team"),
        ([*binary(), (b"ce-team", b"%FF")], BODY, 400, "$.team"),
        ([*binary(), (b"ce-data", b"1")], BODY, 400, "$.data"),
        ([*binary(), (b"ce-datacontenttype", b"application/json")], BODY, 400, "$.datacontenttype"),
    ],
)
def test_what_is_no_cloudevent_is_refused_with_a_remedy(
    headers: list[tuple[bytes, bytes]], body: bytes, status: int, path: str | None
) -> None:
    with pytest.raises(NotRead) as caught:
        received(headers, body)
    assert caught.value.status == status
    assert [problem.path for problem in caught.value.problems] == ([] if path is None else [path])
    assert caught.value.remedy


def test_the_edge_adds_the_time_of_receipt_and_never_replaces_one() -> None:
    added = completed(REMOVED, received_at=NOW, key=None, caller="admin")
    assert isinstance(added, dict)
    assert parse_time(str(added["time"])) == NOW
    assert event_from(added).id == "e-1"
    mine = {**REMOVED, "time": "2026-01-01T00:00:00Z"}
    assert completed(mine, received_at=NOW, key="k", caller="admin") == mine


def test_an_idempotency_key_stands_for_an_id_that_is_missing() -> None:
    nameless = {name: value for name, value in REMOVED.items() if name != "id"}

    def identity(key: str | None, caller: str = "admin", item: int | None = None) -> object:
        found = completed(nameless, received_at=NOW, key=key, caller=caller, item=item)
        assert isinstance(found, dict)
        return found.get("id")

    assert identity("k") == identity("k") != identity("l")
    assert len({identity("k"), identity("k", "other"), identity("k", item=0), identity("k", item=1)}) == 4
    assert identity(None) is None
    problems = explained(
        publication_problems(completed(nameless, received_at=NOW, key=None, caller="a")), item=3
    )
    assert [problem.path for problem in problems] == ["$[3].id"]
    assert "Idempotency-Key" in problems[0].reason
    assert "repeat" in problems[0].reason


def test_paths_of_a_single_event_stay_as_they_are() -> None:
    assert explained([FieldProblem("$.data.x", "no")]) == [FieldProblem("$.data.x", "no")]


def test_internal_types_are_known_by_their_names() -> None:
    assert is_internal({"type": "millstream.search.completed"}, REGISTRY)
    assert not is_internal(REMOVED, REGISTRY)
    assert not is_internal({"type": "nothing"}, REGISTRY)
    assert not is_internal(None, REGISTRY)


@pytest.mark.parametrize("key", ["", " ", "é", "a\nb", "k" * 256])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(KeyRefused):
        idempotency_key(Headers({"idempotency-key": key}))


def test_keys() -> None:
    assert idempotency_key(Headers({})) is None
    assert idempotency_key(Headers({"Idempotency-Key": "a b"})) == "a b"
