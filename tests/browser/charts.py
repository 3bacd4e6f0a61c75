"""Reading a chart as it is painted: the page's own account of it, and the pixels that must agree with it."""

from typing import TypedDict

from playwright.sync_api import Page

from tests.support.system import eventually

Rgb = tuple[int, int, int]


class Mark(TypedDict):
    """One painted marker (``window.millstream.chart.drawn``)."""

    series: str
    label: str
    time: str
    value: int
    hollow: bool
    now: bool
    x: float
    y: float


class EndLabel(TypedDict):
    """One label at a line's end (``window.millstream.chart.labels``)."""

    label: str
    text: str
    top: float
    height: float
    left: float
    width: float


def wait_until_counted(page: Page) -> None:
    """Until no cell is open and the chart shows it, without a reload by us."""
    _wait_for(page, "window.millstream && !window.millstream.chart.loading", "the counting to end")


def wait_until_drawn(page: Page) -> None:
    """Until the chart has markers."""
    _wait_for(page, "window.millstream && window.millstream.chart.drawn.length > 0", "the chart")


def _wait_for(page: Page, expression: str, what: str) -> None:
    # Playwright's own wait_for_function evaluates text inside the page, which our content policy forbids.
    eventually(lambda: bool(page.evaluate(expression)), what, timeout_s=60)


def drawn(page: Page, label: str) -> list[Mark]:
    """Markers of the frames of one series, in time."""
    marks: list[Mark] = page.evaluate("window.millstream.chart.drawn")
    frames = (mark for mark in marks if mark["label"] == label and not mark["now"])
    return sorted(frames, key=lambda mark: mark["time"])


def newest(page: Page, label: str) -> Mark | None:
    """The marker of the newest count of one series, called "now"."""
    marks: list[Mark] = page.evaluate("window.millstream.chart.drawn")
    return next((mark for mark in marks if mark["label"] == label and mark["now"]), None)


def end_labels(page: Page) -> list[EndLabel]:
    """Labels at the line ends."""
    labels: list[EndLabel] = page.evaluate("window.millstream.chart.labels")
    return labels


def pixel(page: Page, x: float, y: float) -> Rgb:
    """The colour of the chart's canvas at (x, y) in CSS pixels."""
    red, green, blue = page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector("#chart canvas");
          const ratio = canvas.width / canvas.clientWidth;
          const copy = new OffscreenCanvas(1, 1).getContext("2d");
          copy.drawImage(canvas, Math.round(x * ratio), Math.round(y * ratio), 1, 1, 0, 0, 1, 1);
          return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }""",
        [x, y],
    )
    return red, green, blue


def pixels_like(page: Page, colour: Rgb) -> int:
    """How many pixels of the canvas are nearly ``colour``."""
    count: int = page.evaluate(
        """([red, green, blue]) => {
          const canvas = document.querySelector("#chart canvas");
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
          copy.drawImage(canvas, 0, 0);
          const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
          let found = 0;
          for (let i = 0; i < data.length; i += 4) {
            const far = Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue);
            if (far < 24 && data[i + 3] > 200) found += 1;
          }
          return found;
        }""",
        list(colour),
    )
    return count


def css_colour(page: Page, name: str) -> Rgb:
    """A colour of the style sheet, such as ``--s0``, as it applies now."""
    text: str = page.evaluate(
        "(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()", name
    )
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def near(one: Rgb, other: Rgb) -> bool:
    """Whether two colours look the same."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) < 24
