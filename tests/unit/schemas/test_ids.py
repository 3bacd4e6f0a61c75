"""Identifiers agree with their published vectors, which any language can check itself against."""

import hashlib
import uuid
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import SeriesDefinition
from schemas.grid import TimeUnit
from schemas.ids import (
    EVENT_NAMESPACE,
    MAX_ID,
    InvalidRepositoryName,
    SeriesIdentity,
    aggregate_id,
    canonical_repository_name,
    derived_event_id,
    is_identity_json,
    new_event_id,
    repository_id,
    series_id,
    series_identity_json,
    stable_id,
    upload_id,
    upload_time,
)
from schemas.limits import FieldError
from tests.unit.schemas.files import VECTORS

Vector = dict[str, Any]


def test_the_vector_of_the_first_generation() -> None:
    expected = "s:7F1FE30EF252BF75FAB0C9680C7BCFFF648154165AFE718155091051255A0A99"
    assert series_id(SeriesIdentity(query="insights")) == expected


@pytest.mark.parametrize("vector", VECTORS["stable_id"])
def test_stable_ids(vector: Vector) -> None:
    assert stable_id(vector["text"]) == vector["id"]
    digest = hashlib.sha256(vector["text"].encode()).hexdigest()
    assert stable_id(vector["text"]) == int(digest[:16], 16) // 2048


@pytest.mark.parametrize("vector", VECTORS["canonical_name"])
def test_canonical_names(vector: Vector) -> None:
    assert canonical_repository_name(vector["location"]) == vector["name"]
    assert canonical_repository_name(vector["name"]) == vector["name"]


@pytest.mark.parametrize("location", VECTORS["no_repository_name"])
def test_what_is_no_repository_name(location: str) -> None:
    with pytest.raises(InvalidRepositoryName):
        canonical_repository_name(location)


@given(st.text())
def test_a_canonical_name_stays_what_it_is(location: str) -> None:
    try:
        name = canonical_repository_name(location)
    except InvalidRepositoryName:
        return
    assert canonical_repository_name(name) == name


def test_no_credential_gets_into_a_name() -> None:
    name = canonical_repository_name("https://alice:s3cret@git.example.com/a/b.git?private_token=s3cret")
    assert name == "git.example.com/a/b"


@pytest.mark.parametrize("vector", VECTORS["repository_id"])
def test_repository_ids(vector: Vector) -> None:
    assert repository_id(vector["name"]) == vector["id"]
    assert str(repository_id(vector["name"])) == vector["key"]
    assert 0 <= vector["id"] <= MAX_ID


@pytest.mark.parametrize("vector", VECTORS["aggregate_id"])
def test_aggregate_ids(vector: Vector) -> None:
    assert aggregate_id(vector["kind"], vector["caller"], vector["idempotency_key"]) == vector["id"]


@pytest.mark.parametrize("vector", VECTORS["upload_id"])
def test_upload_ids(vector: Vector) -> None:
    at = datetime.fromisoformat(vector["at"])
    assert upload_id(at, vector["chance"]) == upload_id(at, vector["chance"] + 2048) == vector["id"]
    assert upload_time(vector["id"]) == at
    assert 0 <= vector["id"] <= MAX_ID


@pytest.mark.parametrize("vector", VECTORS["derived_event_id"])
def test_derived_event_ids(vector: Vector) -> None:
    assert derived_event_id(*vector["parts"]) == vector["id"]
    assert vector["id"] == str(
        uuid.uuid5(uuid.UUID(VECTORS["event_namespace"]), "\x1f".join(map(str, vector["parts"])))
    )


def test_the_namespace_never_changes() -> None:
    assert str(EVENT_NAMESPACE) == VECTORS["event_namespace"] == "5d0c8a4e-6f0b-5a61-9a0e-3b1c2d4e5f60"


@pytest.mark.parametrize("vector", VECTORS["series_id"])
def test_series_ids(vector: Vector) -> None:
    identity = SeriesIdentity(**vector["identity"])
    assert series_id(identity) == vector["series_id"]
    assert vector["series_id"] == "s:" + hashlib.sha256(vector["hashed"].encode()).hexdigest().upper()
    if vector["hashed"] != identity.query:
        assert series_identity_json(identity) == vector["hashed"].encode()


def test_the_exact_bytes_of_the_json_form() -> None:
    identity = SeriesIdentity(
        query='größe "x"\\', unit="WEEK", value=2, repositories=[9, 1, 9], pattern_type="regexp"
    )
    assert (
        series_identity_json(identity)
        == '["größe \\"x\\"\\\\","WEEK",2,[1,9],null,"search",null,"regexp"]'.encode()
    )
    assert series_identity_json(identity) == orjson.dumps(orjson.loads(series_identity_json(identity)))


def test_each_part_of_the_identity_makes_another_series() -> None:
    variants = [
        SeriesIdentity(query="insights"),
        SeriesIdentity(query="insights "),
        SeriesIdentity(query="insights", unit="WEEK"),
        SeriesIdentity(query="insights", value=2),
        SeriesIdentity(query="insights", repositories=[1]),
        SeriesIdentity(query="insights", repositories=[1, 2]),
        SeriesIdentity(query="insights", repositories=[]),
        SeriesIdentity(query="insights", criteria="repo:x"),
        SeriesIdentity(query="insights", pattern_type="regexp"),
        SeriesIdentity(query="insights", kind="capture"),
        SeriesIdentity(query="insights", group_by="author"),
    ]
    assert len({series_id(identity) for identity in variants}) == len(variants)


def test_the_order_of_repositories_makes_no_difference() -> None:
    assert series_id(SeriesIdentity(query="q", repositories=[2, 1, 2])) == series_id(
        SeriesIdentity(query="q", repositories=[1, 2])
    )


def test_fresh_event_ids_are_ordered_by_time() -> None:
    ids = [new_event_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100
    assert uuid.UUID(ids[0]).version == 7


def test_a_query_that_reads_as_another_identity_is_no_query_of_a_series() -> None:
    """Its plain id would be that of the other series: two grids in the same rows."""
    other = SeriesIdentity(query="insights", unit="WEEK")
    text = series_identity_json(other).decode()
    same = series_id(SeriesIdentity(query=text))
    assert same == series_id(other), "the plain rule hashes the text, the other one the JSON"
    with pytest.raises(FieldError, match="identity of another series"):
        SeriesDefinition(series_id=same, label="l", query=text, unit=TimeUnit.MONTH, value=1)
    assert not is_identity_json('["a", "b"]')
    assert not is_identity_json('["a')
