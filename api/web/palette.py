"""How a series is told from the others: a colour, a dash and a marker, so that colour is never the only sign.

The eight colours stay apart under the common kinds of colour blindness and reach a contrast of 3:1 on the
light and on the dark page; their values live in ``static/app.css`` (``--s0`` to ``--s7``, one set per scheme).
The light values are repeated here because they are what a definition stores as its line colour.
"""

import re
from dataclasses import dataclass

PALETTE: tuple[tuple[str, str], ...] = (
    ("#0b6fae", "Blue"),
    ("#c8501e", "Vermilion"),
    ("#0c8461", "Green"),
    ("#a1478a", "Purple"),
    ("#8f6a00", "Ochre"),
    ("#5b5bd0", "Indigo"),
    ("#4d5a60", "Slate"),
    ("#b0304f", "Crimson"),
)
"""(stored value, name for people), in the order in which series without a colour take them."""

MARKERS: tuple[str, ...] = ("circle", "square", "triangle", "diamond", "triangle-down")
DASHES: tuple[tuple[int, ...], ...] = ((), (7, 4), (2, 4), (10, 3, 2, 3), (14, 4), (5, 2))

_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
# Colours as clients of the public API send them: names of the Open Color palette in CSS variables.
_OPEN_COLOR = re.compile(r"var\(--oc-([a-z]+)-\d\)\Z")
_OPEN_COLOR_INDEX = {
    "blue": 0,
    "cyan": 0,
    "indigo": 5,
    "violet": 5,
    "grape": 3,
    "pink": 3,
    "red": 7,
    "orange": 1,
    "yellow": 4,
    "lime": 2,
    "green": 2,
    "teal": 2,
    "gray": 6,
}


@dataclass(frozen=True, slots=True)
class SeriesStyle:
    """``colour`` indexes ``PALETTE``; ``custom`` is a hex colour that is not of the palette, or empty."""

    colour: int
    marker: str
    dash: tuple[int, ...]
    custom: str = ""


def style_of(position: int, line_color: str) -> SeriesStyle:
    """The style of the series at ``position`` (from 0) of a view, whose stored colour is ``line_color``."""
    colour, custom = position % len(PALETTE), ""
    wanted = line_color.strip()
    known = [value for value, _ in PALETTE]
    open_color = _OPEN_COLOR.match(wanted)
    if wanted.lower() in known:
        colour = known.index(wanted.lower())
    elif open_color is not None:
        colour = _OPEN_COLOR_INDEX.get(open_color.group(1), colour)
    elif _HEX.match(wanted):
        custom = wanted
    return SeriesStyle(colour, MARKERS[position % len(MARKERS)], DASHES[position % len(DASHES)], custom)
