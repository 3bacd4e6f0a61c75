"""Closed JSON Schemas of every event type and version, generated from the payload classes.

``python -m schemas.jsonschema --write`` writes ``schemas/json/<type>/v<n>.json``; without the option it says which files
disagree and ends with 1. Closed means: a field that we do not know is an error, at every depth. That is for the edge;
readers are tolerant.
"""

import sys
from collections.abc import Iterable
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from schemas.events import REGISTRY
from schemas.registry import EventType

FOLDER: Final = Path(__file__).parent / "json"
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_ORDER: Final = ("$schema", "$id", "title", "description", "type", "$ref", "properties", "required")


def closed_schema(event_type: EventType) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a payload, closed at every depth."""
    (schema,), definitions = msgspec.json.schema_components(
        [event_type.payload], ref_template="#/$defs/{name}"
    )
    root_name = str(schema["$ref"]).rpartition("/")[2]
    root = definitions.pop(root_name)
    whole = {
        **root,
        "$schema": _DRAFT,
        "$id": event_type.dataschema,
        "title": f"{event_type.name} v{event_type.version}",
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }
    if not definitions:
        del whole["$defs"]
    _close(whole)
    return {
        name: whole[name]
        for name in (*(n for n in _ORDER if n in whole), *(n for n in whole if n not in _ORDER))
    }


def rendered(event_type: EventType) -> bytes:
    """The schema as it stands in its file."""
    return orjson.dumps(closed_schema(event_type), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def path_of(event_type: EventType, folder: Path = FOLDER) -> Path:
    """The file of a type's schema: ``<type>/v<n>.json``."""
    return folder / event_type.name / f"v{event_type.version}.json"


def stale(event_types: Iterable[EventType] = REGISTRY, folder: Path = FOLDER) -> list[Path]:
    """Files that are not what would be generated now, and files that nothing generates."""
    wanted = {path_of(event_type, folder): rendered(event_type) for event_type in event_types}
    found = set(folder.rglob("*.json"))
    changed = [path for path, content in wanted.items() if path not in found or path.read_bytes() != content]
    return sorted([*changed, *(found - wanted.keys())])


def write(event_types: Iterable[EventType] = REGISTRY, folder: Path = FOLDER) -> list[Path]:
    """Bring the files up to date; those that were changed. Files of types that are gone are kept: see ``stale``."""
    written = []
    for event_type in event_types:
        path, content = path_of(event_type, folder), rendered(event_type)
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written.append(path)
    return written


def _close(node: object) -> None:
    if isinstance(node, dict):
        if "properties" in node and node.get("type") == "object":
            node.setdefault("additionalProperties", False)
        if isinstance(node.get("description"), str):
            node["description"] = " ".join(cleandoc(node["description"]).split())
        for child in node.values():
            _close(child)
    elif isinstance(node, list):
        for child in node:
            _close(child)


def main(arguments: list[str]) -> int:
    """The command: 0 when all files agree (or were written)."""
    if arguments == ["--write"]:
        for path in write():
            sys.stdout.write(f"wrote {path.relative_to(FOLDER.parent)}\n")
        return 0
    wrong = stale()
    for path in wrong:
        sys.stdout.write(f"stale: {path.relative_to(FOLDER.parent)} (python -m schemas.jsonschema --write)\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
