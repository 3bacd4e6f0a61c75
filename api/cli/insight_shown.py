"""An insight's answer as JSON, and as the lines that a terminal draws. Pure."""

from collections.abc import Sequence
from datetime import datetime

from api.cli.insight_questions import Insight, RepositoryPoint
from api.cli.rendering import Line
from api.reasons import Reasons


def as_json(insight: Insight) -> dict[str, object]:
    """The published form. A frame of which nothing is known is no point."""
    return {
        "id": insight.id,
        "title": insight.title,
        "isLoadingData": insight.is_loading_data,
        "series": [
            {
                "id": series.series_id,
                "label": series.label,
                "query": series.query,
                "points": [
                    _point(time, value, complete)
                    for time, value, complete in zip(
                        series.times, series.values, series.complete, strict=True
                    )
                    if value is not None
                ],
                "perRepository": {
                    one.repository.name: [
                        _point(point.date_time, point.value, point.complete)
                        for point in one.points
                        if point.value is not None
                    ]
                    for one in series.per_repository
                },
            }
            for series in insight.ordered
        ],
    }


def chart_lines(insight: Insight) -> list[Line]:
    """What a terminal draws: all lines over the same frames."""
    times = sorted({time for series in insight.data_series for time in series.times})
    return [
        Line(
            label=series.label,
            times=times,
            values=_placed(times, dict(zip(series.times, series.values, strict=True))),
            complete=[
                dict(zip(series.times, series.complete, strict=True)).get(time, False) for time in times
            ],
            per_repository={
                one.repository.name: _placed(times, {point.date_time: point.value for point in one.points})
                for one in series.per_repository
            },
            per_repository_complete={
                one.repository.name: _complete(times, one.points) for one in series.per_repository
            },
        )
        for series in insight.ordered
    ]


def why_incomplete(insight: Insight) -> list[str]:
    """One sentence for each reason for which counts are missing or lower bounds, with the repositories that it is about."""
    found: dict[str, dict[str, set[datetime]]] = {}
    for series in insight.ordered:
        for one in series.per_repository:
            for point in one.points:
                if point.reason and not point.complete:
                    code = point.reason.partition(":")[0].strip()
                    found.setdefault(code, {}).setdefault(one.repository.name, set()).add(point.date_time)
    return [
        f"{Reasons.in_words(code, sorted(names))}: {_points(len(set.union(*names.values())))}"
        for code, names in found.items()
    ]


def failure(text: str) -> str:
    """``code: 3 requests``, as the queue says it, in words."""
    code, _, rest = text.partition(":")
    return f"{Reasons.in_words(code)} ({rest.strip()})" if rest.strip() else Reasons.in_words(code)


def _points(count: int) -> str:
    return f"{count:,} point{'s' * (count != 1)}"


def _placed(times: Sequence[datetime], values: dict[datetime, float | None]) -> list[float | None]:
    return [values.get(time) for time in times]


def _complete(times: Sequence[datetime], points: Sequence[RepositoryPoint]) -> list[bool]:
    known = {point.date_time: point.complete for point in points}
    return [known.get(time, False) for time in times]


def _point(time: datetime, value: float | None, complete: bool) -> dict[str, object]:
    whole_number = value is not None and value == int(value)
    return {
        "dateTime": time,
        "value": int(value) if whole_number and value is not None else value,
        "complete": complete,
    }
