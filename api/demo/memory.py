"""What the demo remembers between runs: the interval of each of its insights, which would otherwise grow with the history."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.demo.definition import InsightWish
from infra.embedded.home import write_private
from schemas.grid import Interval, TimeUnit


def as_before(home: Path, wish: InsightWish) -> InsightWish:
    """The wish with the interval that it had in the first run, if there was one."""
    found = _read(home).get(wish.idempotency_key)
    try:
        interval = (
            Interval(TimeUnit(found["unit"]), int(found["value"]))
            if isinstance(found, dict)
            else wish.interval
        )
    except (KeyError, ValueError):  # written by hand, or by another version: nothing is known
        interval = wish.interval
    return replace(wish, interval=interval)


def remember(home: Path, wish: InsightWish) -> None:
    """Keep the interval for later runs."""
    kept = {
        **_read(home),
        wish.idempotency_key: {"unit": wish.interval.unit.value, "value": wish.interval.value},
    }
    write_private(home / "demo.json", json.dumps(kept, indent=1) + "\n")


def _read(home: Path) -> dict[str, Any]:
    try:
        found = json.loads((home / "demo.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
