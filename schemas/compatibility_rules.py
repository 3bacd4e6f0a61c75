"""Can whoever reads the new JSON Schema read everything that was written under the old one? Pure.

Only the keywords that our schemas use are understood; a change of any other is refused, since nobody has thought
about it. A field that is gone is refused too, although readers are tolerant: its name must not come back with
another meaning, and what it said would be lost in silence.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

Schema = Mapping[str, Any]

_LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT: Final = ("pattern", "format", "multipleOf", "uniqueItems", "const")
_WORDS: Final = frozenset(("$schema", "$id", "$defs", "title", "description", "examples", "discriminator"))
"""Say nothing about which documents are valid."""
_HANDLED: Final = frozenset(
    (
        "$ref",
        "anyOf",
        "type",
        "enum",
        "properties",
        "required",
        "additionalProperties",
        "propertyNames",
        "items",
        "prefixItems",
        "default",
        *_LOWER_BOUNDS,
        *_UPPER_BOUNDS,
        *_EXACT,
    )
)
_ABSENT: Final = object()
_TYPE_OF: Final = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class Breaking(msgspec.Struct, frozen=True, order=True):
    """One change after which something written before can no longer be read, or reads as something else."""

    path: str
    reason: str


def breaking_changes(old: Schema, new: Schema) -> list[Breaking]:
    """What keeps readers of ``new`` from reading what was valid under ``old``; empty when nothing does."""
    return sorted(set(_Comparison(old, new).changes(old, new, "$")))


class _Comparison:
    """Two whole schemas, whose ``$ref`` are looked up in their own ``$defs``."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old_defs: Mapping[str, Schema] = old.get("$defs", {})
        self._new_defs: Mapping[str, Schema] = new.get("$defs", {})
        self._open: set[tuple[str, str]] = set()

    def changes(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        refs = (str(old.get("$ref", "")), str(new.get("$ref", "")))
        if any(refs):
            if refs in self._open:
                return  # a structure inside itself: compared further up
            self._open.add(refs)
        yield from self._resolved(_resolved(old, self._old_defs), _resolved(new, self._new_defs), path)
        self._open.discard(refs)

    def _resolved(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        if "anyOf" in old or "anyOf" in new:
            yield from self._alternatives(_alternatives(old), _alternatives(new), path)
            return
        yield from _types(old, new, path)
        yield from _values(old, new, path)
        yield from _bounds(old, new, path)
        yield from self._fields(old, new, path)
        yield from self._entries(old, new, path)
        for keyword in sorted((old.keys() | new.keys()) - _WORDS - _HANDLED):
            if old.get(keyword, _ABSENT) != new.get(keyword, _ABSENT):
                yield Breaking(path, f"{keyword!r} has changed, and no rule says whether that can be read")

    def _alternatives(self, old: Sequence[Schema], new: Sequence[Schema], path: str) -> Iterator[Breaking]:
        """Each old alternative has to be readable as some new one."""
        for one in old:
            attempts = [list(self.changes(one, other, path)) for other in new]
            if all(attempts):
                yield from min(attempts, key=len)

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        before: Mapping[str, Schema] = old.get("properties", {})
        after: Mapping[str, Schema] = new.get("properties", {})
        was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
        for name in before:
            if name not in after:
                yield Breaking(f"{path}.{name}", "the field is gone")
                continue
            if name in is_required and name not in was_required:
                yield Breaking(f"{path}.{name}", "the field has become required")
            old_default = before[name].get("default", _ABSENT)
            if name not in was_required and old_default != after[name].get("default", _ABSENT):
                yield Breaking(
                    f"{path}.{name}", "the default has changed: where it is absent it says something else"
                )
            yield from self.changes(before[name], after[name], f"{path}.{name}")
        for name in after:
            if name not in before and name in is_required:
                yield Breaking(f"{path}.{name}", "the field is new and required")

    def _entries(self, old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
        for keyword, step in (("items", "[]"), ("propertyNames", "{}"), ("additionalProperties", ".*")):
            before, after = old.get(keyword, True), new.get(keyword, True)
            if isinstance(before, Mapping) and isinstance(after, Mapping):
                yield from self.changes(before, after, path + step)  # equal references may name other things
            elif after is not True and before is not False and after != before:
                yield Breaking(path + step, f"{keyword!r} takes less than before")
        before_places: Sequence[Schema] = old.get("prefixItems", ())
        after_places: Sequence[Schema] = new.get("prefixItems", ())
        if len(before_places) != len(after_places):
            yield Breaking(path, "the number of places in the list has changed")
            return
        for place, (one, other) in enumerate(zip(before_places, after_places, strict=True)):
            yield from self.changes(one, other, f"{path}[{place}]")


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The schema with its reference replaced by what it names; what stands beside the reference wins."""
    while "$ref" in schema:
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**definitions[str(schema["$ref"]).rpartition("/")[2]], **beside}
    return schema


def _alternatives(schema: Schema) -> Sequence[Schema]:
    found: Sequence[Schema] = schema.get("anyOf", (schema,))
    return found


def _types(old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
    before, after = _type_names(old), _type_names(new)
    if after is None:
        return
    lost = {"anything"} if before is None else before - after
    if "number" in after:
        lost -= {"integer"}
    if lost:
        yield Breaking(
            path, f"the type was {' or '.join(sorted(before or lost))}, now {' or '.join(sorted(after))}"
        )


def _type_names(schema: Schema) -> set[str] | None:
    """None where any type is taken."""
    found = schema.get("type")
    if found is None:
        return {_TYPE_OF[type(value)] for value in schema["enum"]} if "enum" in schema else None
    return {found} if isinstance(found, str) else set(found)


def _values(old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
    if "enum" not in new:
        return
    if "enum" not in old:
        yield Breaking(path, "only some values are taken now")
        return
    for value in old["enum"]:
        if value not in new["enum"]:
            yield Breaking(path, f"the value {value!r} is gone")


def _bounds(old: Schema, new: Schema, path: str) -> Iterator[Breaking]:
    for keyword in _LOWER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield Breaking(path, f"{keyword} was {old.get(keyword, 'not given')}, now {new[keyword]}")
    for keyword in _UPPER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield Breaking(path, f"{keyword} was {old.get(keyword, 'not given')}, now {new[keyword]}")
    for keyword in _EXACT:
        if keyword in new and new[keyword] != old.get(keyword, _ABSENT):
            yield Breaking(path, f"{keyword} was {old.get(keyword, 'not given')}, now {new[keyword]}")
