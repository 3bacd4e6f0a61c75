"""What was published stays readable: each kind of change, and the command that refuses a bad one."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import msgspec
import orjson
import pytest

from schemas.compatibility import FOLDER, main, publish, refusals, unpublished
from schemas.compatibility_rules import breaking_changes
from schemas.events import REGISTRY
from schemas.jsonschema import closed_schema, path_of
from schemas.registry import Audience, Body, EventType, Payload, Registry, Upcaster
from schemas.topics import Topic

OLD: Body = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 0, "maximum": 100},
        "name": {"type": "string", "maxLength": 10, "pattern": "^a"},
        "kind": {"enum": ["SEARCH", "CAPTURE"]},
        "tip": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "default": []},
        "range": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "items": False},
        "counts": {
            "type": "object",
            "additionalProperties": {"type": "integer", "minimum": 0},
            "default": {},
        },
        "at": {"type": "string", "format": "date-time"},
    },
    "required": ["id", "name", "kind", "range", "at"],
    "additionalProperties": False,
    "$defs": {
        "Part": {
            "type": "object",
            "properties": {
                "size": {"type": "integer"},
                "of": {"anyOf": [{"$ref": "#/$defs/Part"}, {"type": "null"}], "default": None},
            },
            "required": ["size"],
            "additionalProperties": False,
        }
    },
}


def changed(where: str, value: Any) -> Body:
    """OLD with the value at ``where`` (steps between slashes) replaced, or gone when it is ``...``."""
    schema: Body = orjson.loads(orjson.dumps(OLD))
    node = schema
    *steps, last = where.split("/")
    for step in steps:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return schema


FINE = [
    ("properties/later", {"type": "integer", "default": 0}),
    ("$defs/Part/properties/later", {"type": "string", "default": ""}),
    ("properties/id/type", "number"),
    ("properties/id/minimum", -1),
    ("properties/id/maximum", ...),
    ("properties/name/maxLength", 11),
    ("properties/name/pattern", ...),
    ("properties/name", {"type": "string"}),
    ("properties/name", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ("properties/kind/enum", ["SEARCH", "CAPTURE", "COMPUTE"]),
    ("properties/kind", {"type": "string"}),
    ("properties/tip/anyOf", [{"type": "string"}, {"type": "null"}, {"type": "integer"}]),
    ("properties/counts/additionalProperties", {"type": "integer"}),
    ("properties/name/description", "other words"),
    ("properties/at/format", ...),
    ("required", ["id", "name"]),
    ("title", "other words"),
]
BREAKING = [
    ("properties/id", ..., "$.id", "gone"),
    ("$defs/Part/properties/size", ..., "$.parts[].size", "gone"),
    ("properties/id/type", "string", "$.id", "the type was integer, now string"),
    ("properties/id/minimum", 1, "$.id", "minimum was 0, now 1"),
    ("properties/id/maximum", 99, "$.id", "maximum was 100, now 99"),
    ("properties/name/minLength", 1, "$.name", "minLength was not given, now 1"),
    ("properties/name/maxLength", 9, "$.name", "maxLength was 10, now 9"),
    ("properties/name/pattern", "^b", "$.name", "pattern was ^a, now ^b"),
    ("properties/kind/enum", ["SEARCH"], "$.kind", "'CAPTURE' is gone"),
    ("properties/name/enum", ["a"], "$.name", "only some values"),
    ("properties/tip", {"type": "string", "default": None}, "$.tip", "the type was null, now string"),
    ("properties/tip/default", "", "$.tip", "default has changed"),
    ("properties/tip/default", ..., "$.tip", "default has changed"),
    ("required", ["id", "name", "kind", "range", "at", "tip"], "$.tip", "become required"),
    ("$defs/Part/required", ["size", "of"], "$.parts[].of", "become required"),
    ("properties/parts/maxItems", 5, "$.parts", "maxItems was not given, now 5"),
    ("properties/parts/items", {"type": "integer"}, "$.parts[]", "the type was object, now integer"),
    ("properties/range/prefixItems", [{"type": "integer"}], "$.range", "number of places"),
    ("properties/range/prefixItems", [{"type": "integer"}, {"type": "string"}], "$.range[1]", "the type"),
    ("properties/counts/additionalProperties", False, "$.counts.*", "less than before"),
    ("properties/counts/additionalProperties/minimum", 1, "$.counts.*", "minimum was 0, now 1"),
    ("properties/at/format", "date", "$.at", "format was date-time, now date"),
    ("properties/id/not", {"const": 3}, "$.id", "no rule says"),
]


@pytest.mark.parametrize(("where", "value"), FINE)
def test_what_readers_can_bear(where: str, value: Any) -> None:
    assert breaking_changes(OLD, changed(where, value)) == []


@pytest.mark.parametrize(("where", "value", "path", "reason"), BREAKING)
def test_what_breaks_them_is_named(where: str, value: Any, path: str, reason: str) -> None:
    found = breaking_changes(OLD, changed(where, value))
    assert path in {one.path for one in found}
    assert any(reason in one.reason for one in found if one.path == path)


def test_a_new_field_that_is_required_breaks() -> None:
    new = changed("properties/later", {"type": "integer"})
    new["required"].append("later")
    assert [(one.path, one.reason) for one in breaking_changes(OLD, new)] == [
        ("$.later", "the field is new and required")
    ]


@pytest.mark.parametrize("event_type", list(REGISTRY), ids=lambda one: f"{one.name}-v{one.version}")
def test_every_type_can_read_itself(event_type: EventType) -> None:
    schema = closed_schema(event_type)
    assert breaking_changes(schema, schema) == []


def test_the_second_version_of_a_result_could_not_have_been_the_first() -> None:
    first, second = (REGISTRY.get("millstream.search.completed", version) for version in (1, 2))
    assert first is not None
    assert second is not None
    paths = {one.path for one in breaking_changes(closed_schema(first), closed_schema(second))}
    assert paths == {"$.series[].commits", "$.series[].incomplete[].commit"}


def test_this_build_reads_whatever_was_published_and_is_published() -> None:
    assert refusals() == []
    assert unpublished() == []
    assert main([]) == 0


class _Said(Payload, frozen=True, kw_only=True):
    """One."""

    id: int
    name: str = ""


class _Narrowed(Payload, frozen=True, kw_only=True):
    """Two: the id is bounded, the name is gone."""

    id: Annotated[int, msgspec.Meta(ge=1)]


class _Widened(Payload, frozen=True, kw_only=True):
    """Three: one more field."""

    id: int
    name: str = ""
    more: str | None = None


def _registry(*versions: tuple[type[Payload], Upcaster | None]) -> Registry:
    registry = Registry()
    for version, (payload, upcaster) in enumerate(versions, start=1):
        registry.add(
            EventType(
                name="millstream.thing.said",
                version=version,
                payload=payload,
                topics=(Topic.RESULTS,),
                key=lambda data: str(data.id),
                subject=lambda data: str(data.id),
                audience=Audience.INTERNAL,
                guarded=False,
                summary="",
                upcaster=upcaster,
            )
        )
    return registry


def _narrow(body: Body) -> Body:
    return {"id": max(1, body["id"])}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The contract after ``_Said`` was published as version 1."""
    assert len(publish(_registry((_Said, None)), tmp_path)) == 1
    return tmp_path


def test_a_bad_change_is_refused_and_not_published(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = _registry((_Narrowed, None))
    before = {path: path.read_bytes() for path in published.rglob("*.json")}
    assert main([], bad, published) == 1
    assert main(["--publish"], bad, published) == 1
    assert {path: path.read_bytes() for path in published.rglob("*.json")} == before
    said = capsys.readouterr().out
    assert "refused: millstream.thing.said v1 $.id: minimum was not given, now 1" in said
    assert "refused: millstream.thing.said v1 $.name: the field is gone" in said
    assert "with an upcaster" in said


def test_a_new_optional_field_is_taken_once_it_is_published(published: Path) -> None:
    good = _registry((_Widened, None))
    assert main([], good, published) == 1, "what nobody published, nobody checks later changes against"
    assert main(["--publish"], good, published) == 0
    assert main([], good, published) == 0
    assert main([], _registry((_Said, None)), published) == 1, "now that field may not go again"


def test_a_breaking_version_needs_an_upcaster(published: Path) -> None:
    (refused,) = refusals(_registry((_Said, None), (_Narrowed, None)), published)
    assert (refused.version, refused.path) == (1, "$")
    assert "no upcaster on the way to v2; $.id" in refused.reason
    assert refusals(_registry((_Said, _narrow), (_Narrowed, None)), published) == []


def test_every_version_has_to_reach_the_newest_one(published: Path) -> None:
    gap = _registry((_Said, _narrow), (_Narrowed, None), (_Widened, None))
    assert [one.version for one in refusals(gap, published)] == [1, 2]


def test_a_published_version_stays_for_ever(published: Path) -> None:
    (refused,) = refusals(Registry(), published)
    assert "is gone" in refused.reason


def test_a_type_that_was_never_published_is_seen(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "published")
    one = next(iter(REGISTRY))
    path_of(one, tmp_path / "published").unlink()
    assert unpublished(REGISTRY, tmp_path / "published") == [path_of(one, tmp_path / "published")]
