"""What was ever published stays readable: BACKWARD_TRANSITIVE (DESIGN section 3).

``schemas/published/<type>/v<n>.json`` is the contract as it was last published: the baseline, which needs no git.
``python -m schemas.compatibility`` compares this build with it and ends with 1 where something written before could not
be read; ``--publish`` brings the baseline up to date, and refuses where that would break somebody.

A type changes in place by what breaks nobody (``schemas.compatibility_rules``). Anything else is a new version, and
leads on from the one before by an upcaster.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from schemas.compatibility_rules import breaking_changes
from schemas.events import REGISTRY
from schemas.jsonschema import closed_schema, stale, write
from schemas.registry import EventType, Registry
from schemas.upcasting import unreachable

FOLDER: Final = Path(__file__).parent / "published"


class Refusal(msgspec.Struct, frozen=True, order=True):
    """Why a build must not follow the one whose contract is published."""

    type_name: str
    version: int
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.type_name} v{self.version} {self.path}: {self.reason}"


def refusals(registry: Registry = REGISTRY, folder: Path = FOLDER) -> list[Refusal]:
    """Everything in ``registry`` that could not read what was published, or what an earlier version of it wrote."""
    return sorted([*_changed_in_place(registry, folder), *_not_led_on(registry)])


def _changed_in_place(registry: Registry, folder: Path) -> Iterator[Refusal]:
    for name, version, published in _published(folder):
        event_type = registry.get(name, version)
        if event_type is None:
            yield Refusal(
                name, version, "$", "was published and is gone: logs hold it for ever. Bring its class back."
            )
            continue
        for change in breaking_changes(published, closed_schema(event_type)):
            yield Refusal(
                name, version, change.path, f"{change.reason}. Say it in a new version, with an upcaster."
            )


def _not_led_on(registry: Registry) -> Iterator[Refusal]:
    for event_type in unreachable(registry):
        latest = registry.latest(event_type.name)
        changes = [] if latest is None else breaking_changes(closed_schema(event_type), closed_schema(latest))
        wanted = f"has no upcaster on the way to v{latest.version if latest else 0}"
        shown = (
            f"; {changes[0].path}: {changes[0].reason}"
            if changes
            else " (which may return the body as it is)"
        )
        yield Refusal(event_type.name, event_type.version, "$", f"{wanted}{shown}")


def _published(folder: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for path in sorted(folder.rglob("v*.json")):
        yield path.parent.name, int(path.stem[1:]), orjson.loads(path.read_bytes())


def unpublished(event_types: Iterable[EventType] = REGISTRY, folder: Path = FOLDER) -> list[Path]:
    """Files of the baseline that do not say what this build says, though it may be published."""
    return stale(event_types, folder)


def publish(registry: Registry = REGISTRY, folder: Path = FOLDER) -> list[Path]:
    """Bring the baseline up to date; the files written. Writes nothing where somebody would be broken."""
    return [] if refusals(registry, folder) else write(registry, folder)


def main(arguments: list[str], registry: Registry = REGISTRY, folder: Path = FOLDER) -> int:
    """The command: 0 when every event ever published can be read, and the baseline says what this build says."""
    refused = refusals(registry, folder)
    for one in refused:
        sys.stdout.write(f"refused: {one}\n")
    if refused:
        return 1
    if arguments == ["--publish"]:
        for path in publish(registry, folder):
            sys.stdout.write(f"published {path.relative_to(folder)}\n")
        return 0
    missing = unpublished(registry, folder)
    for path in missing:
        sys.stdout.write(
            f"breaks nobody, but is not published: {path.relative_to(folder)} (python -m schemas.compatibility --publish)\n"
        )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
