"""The live preview of the creation page: what the form's series would look like, and what they would cost."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from starlette.requests import Request

from api.web.asking import Asked, PageContext, ask
from api.web.insight_form import FRAMES, InsightForm, graphql_scope, with_pattern
from api.web.model import Point, Series
from api.web.palette import style_of
from api.web.templating import count, duration, moment, number

_ABOUT_THE_INPUT = frozenset({"INVALID_INPUT", "NOT_SUPPORTED"})


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class _Line(_Answer):
    label: str
    query: str
    times: list[datetime]
    values: list[float | None]
    is_estimate: bool
    covered_repositories: int
    counted_repositories: int


class _Sample(_Answer):
    counted: int
    not_on_this_machine: int
    not_in_time: int
    unreadable: int
    is_busy: bool


class _Estimate(_Answer):
    frames: int
    cells: int
    files: float | None
    counting_seconds: float | None


class _Preview(_Answer):
    series: list[_Line]
    number_of_repositories: int
    repository_names: list[str]
    sample: _Sample
    estimate: _Estimate


class _PreviewAnswer(_Answer):
    insight_preview: _Preview


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What the preview shows. ``problem``: why there is none; ``is_estimate``: values are scaled from a sample;
    ``at_least``: of some repositories nothing is known here."""

    series: tuple[Series, ...] = ()
    repositories: str = ""
    sample: str = ""
    cost: str = ""
    problem: str = ""
    is_estimate: bool = False
    at_least: bool = False

    @property
    def drawable(self) -> bool:
        """Whether some value is known."""
        return any(line.latest is not None for line in self.series)

    def summary(self, unit: str) -> str:
        """One sentence that says what the chart shows, for those who do not see it."""
        lines = []
        for series in self.series:
            known = [(point.time, point.value) for point in series.points if point.value is not None]
            if known:
                ends = [f"{number(value)} on {moment(time, unit)}" for time, value in (known[0], known[-1])]
                lines.append(f"{series.label}: from {ends[0]} to {ends[1]}")
        return f"Preview{', estimated' if self.is_estimate else ''}. {'. '.join(lines)}."


NOTHING_YET: Final = Preview(problem="Type a query to see what its newest points would be.")


async def preview_of(context: PageContext, request: Request, form: InsightForm) -> Preview:
    """The preview of the rows that have a query; nothing is asked where there is none."""
    rows = [row for row in form.series if row.query]
    if not rows:
        return NOTHING_YET
    if not (form.value.isascii() and form.value.isdigit() and 1 <= int(form.value) <= 1000):
        return Preview(problem="The preview waits for an interval from 1 to 1000.")
    if form.scope == "criteria" and not form.criteria:
        return Preview(problem="The preview waits for a filter of repositories.")
    if form.scope == "list" and not form.repositories:
        return Preview(problem="The preview waits for a chosen repository.")
    variables: dict[str, object] = {
        "input": {
            "repositoryScope": graphql_scope(form),
            "timeScope": {"stepInterval": {"unit": form.unit, "value": int(form.value)}},
            "series": [
                {
                    "query": with_pattern(row.query, row.pattern),
                    "label": row.label or row.query,
                    "generatedFromCaptureGroups": False,
                }
                for row in rows
            ],
        },
        "frames": FRAMES,
    }
    try:
        answer = (await ask(context, request, "preview", variables, _PreviewAnswer)).insight_preview
    except Asked as error:
        if error.code not in _ABOUT_THE_INPUT:
            raise
        return Preview(problem=f"The preview waits: {error}.".replace("..", "."))
    return Preview(
        series=tuple(
            _series(position, line, row.colour)
            for position, (line, row) in enumerate(zip(answer.series, rows, strict=True))
        ),
        repositories=repositories_text(answer.number_of_repositories, answer.repository_names),
        sample=_sample_text(answer),
        cost=_cost_text(answer.estimate),
        is_estimate=any(line.is_estimate for line in answer.series),
        at_least=any(line.counted_repositories < line.covered_repositories for line in answer.series),
    )


def _series(position: int, line: _Line, colour: str) -> Series:
    points = tuple(
        Point(time=time.astimezone(UTC), value=None if value is None else round(value))
        for time, value in zip(line.times, line.values, strict=True)
    )
    return Series(str(position), line.label, line.query, style_of(position, colour), points)


def repositories_text(total: int, names: Sequence[str]) -> str:
    """``10 repositories: a, b, c, d and 6 more``."""
    if not total:
        return "No repository is covered: nothing would be counted until one is added that matches."
    rest = total - len(names)
    named = ", ".join(names) + (f" and {number(rest)} more" if rest else "")
    return f"{count(total, 'repository', 'repositories')}: {named}"


def _sample_text(answer: _Preview) -> str:
    sample, total = answer.sample, answer.number_of_repositories
    if not total:
        return ""
    if sample.is_busy:
        return "Other previews are being counted; change something to try again."
    left_out = [
        text
        for amount, text in (
            (sample.not_on_this_machine, "without a clone on this machine"),
            (sample.not_in_time, "not counted in time"),
            (sample.unreadable, "that git cannot read"),
        )
        if amount
        for text in [f"{number(amount)} {text}"]
    ]
    why = f" ({', '.join(left_out)})" if left_out else ""
    if not sample.counted:
        return f"Nothing could be counted here{why}; the insight itself is counted by the workers."
    if sample.counted >= total:
        return f"Counted in {'it' if total == 1 else f'all {number(total)}'}."
    text = f"Counted in {number(sample.counted)} of {number(total)}{why}"
    if any(line.is_estimate for line in answer.series):
        return f"{text}; the values are scaled to all{' with a clone' if left_out else ''}."
    return f"{text}: at least so many."


def _cost_text(estimate: _Estimate) -> str:
    if not estimate.cells:
        return ""
    text = f"The whole insight: {count(estimate.cells, 'count')} at {estimate.frames} frames"
    if estimate.files is None or estimate.counting_seconds is None:
        return text + "; how long that takes is not known."
    seconds = estimate.counting_seconds
    took = "less than a second" if seconds < 1 else f"about {duration(seconds)}"
    return f"{text}, about {number(round(estimate.files))} files looked at, {took} of counting at most."
