"""Glob patterns of paths, as operators write them, in RE2 syntax. Pure."""

import re
from typing import Final

_PIECE: Final = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_WILD: Final = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def path_pattern(glob: str) -> str:
    """RE2 source that matches the paths of ``glob``: ``*`` and ``?`` stay in one folder, ``**`` crosses folders."""
    return "^" + "".join(_WILD.get(piece) or re.escape(piece) for piece in _PIECE.findall(glob)) + "$"
