"""Colours, dashes and markers of series."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from api.web.outcomes import STATIC
from api.web.palette import DASHES, MARKERS, PALETTE, style_of

_SURFACES = {"light": ("#ffffff", "#fbfaf7"), "dark": ("#182024", "#11171a")}


def _schemes() -> dict[str, list[str]]:
    css = Path(STATIC / "app.css").read_text(encoding="utf-8")
    values = [found.group(1) for found in re.finditer(r"--s\d: (#[0-9a-f]{6});", css)]
    return {"light": values[:8], "dark": values[8:16]}


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_style_sheet_holds_the_stored_colours() -> None:
    assert _schemes()["light"] == [value for value, _ in PALETTE]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_stands_out_from_the_page(scheme: str) -> None:
    colours = _schemes()[scheme]
    assert len(colours) == 8
    for colour in colours:
        for surface in _SURFACES[scheme]:
            assert _contrast(colour, surface) >= 3, (colour, surface)


def test_series_of_one_view_differ_without_colour() -> None:
    signs = [(style_of(i, "").marker, style_of(i, "").dash) for i in range(len(MARKERS) * len(DASHES))]
    assert len(set(signs)) == len(signs)
    assert all(one[0] != other[0] for one, other in combinations(signs[: len(MARKERS)], 2))


@pytest.mark.parametrize(
    ("stored", "colour", "custom"),
    [
        ("", 2, ""),
        ("#C8501E", 1, ""),
        ("var(--oc-grape-7)", 3, ""),
        ("var(--oc-nothing-7)", 2, ""),
        ("#123abc", 2, "#123abc"),
        ("url(https://evil.example)", 2, ""),
        ('#fff" onload="x', 2, ""),
    ],
)
def test_a_stored_colour_is_used_only_when_it_is_one(stored: str, colour: int, custom: str) -> None:
    style = style_of(2, stored)
    assert (style.colour, style.custom) == (colour, custom)
