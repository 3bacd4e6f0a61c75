"""The published files that these tests read."""

from pathlib import Path
from typing import Any

import orjson

import schemas

FOLDER = Path(schemas.__file__).parent
GOLDEN = FOLDER / "golden"
VECTORS: dict[str, Any] = orjson.loads((FOLDER / "vectors" / "ids.json").read_bytes())
