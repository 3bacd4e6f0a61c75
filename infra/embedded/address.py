"""Where the API of a home says that it answers: ``api.json``, written by the API itself when it does."""

import json
from pathlib import Path
from typing import Final

ADDRESS_FILE: Final = "api.json"


def announced(home: Path) -> tuple[str, int] | None:
    """URL and process of the API, as it wrote them when it began to answer."""
    try:
        found = json.loads((home / ADDRESS_FILE).read_text(encoding="utf-8"))
        return str(found["url"]), int(found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(home: Path) -> None:
    """What an API that was killed has left behind says nothing about the next one."""
    (home / ADDRESS_FILE).unlink(missing_ok=True)
