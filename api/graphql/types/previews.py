"""``insightPreview`` and its two companions of the reference: counted now, kept nowhere."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from ariadne import ObjectType, QueryType

from api.commands.errors import InputRefused
from api.commands.insights import MAX_FRAMES, insight_created, names_in
from api.graphql.operation import Operation
from api.graphql.scalars import rfc3339
from api.graphql.types.info import Info, operation_of
from api.graphql.types.series import Point
from api.preview.sample import Estimate, Line, Place, Sample, estimate_of, lines_of, order_of
from projections.repositories import queries
from projections.repositories.queries import Repository
from schemas.events import SeriesDefinition
from schemas.grid import Interval
from streams.insights import scope
from streams.repositories.location import clone_path

query = QueryType()
preview_type = ObjectType("InsightPreview")
line_type = ObjectType("SearchInsightLivePreviewSeries")

FRAMES: Final = 7
_READY: Final = "ready"
_TITLE: Final = "preview"


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """``InsightPreview``."""

    series: list["PreviewLine"]
    names: list[str]
    sample: Sample
    estimate: Estimate
    frames: int


class PreviewLine(msgspec.Struct, frozen=True, kw_only=True):
    """``SearchInsightLivePreviewSeries``."""

    line: Line
    query: str
    times: tuple[datetime, ...]


@query.field("insightPreview")
def resolve_preview(
    _: object,
    info: Info,
    input: Mapping[str, object],  # noqa: A002
    frames: int | None = None,
) -> Preview:
    wanted = 12 if frames is None else frames
    if not 1 <= wanted <= MAX_FRAMES:
        raise InputRefused("frames", f"{wanted} points; 1 to {MAX_FRAMES} are allowed")
    return _preview(operation_of(info), input, wanted)


@query.field("searchInsightPreview")
def resolve_lines(_: object, info: Info, input: Mapping[str, object]) -> list[PreviewLine]:  # noqa: A002
    return _preview(operation_of(info), input, FRAMES).series


@query.field("searchInsightLivePreview")
def resolve_one(_: object, info: Info, input: Mapping[str, object]) -> list[PreviewLine]:  # noqa: A002
    whole = {"repository_scope": input.get("repository_scope"), "time_scope": input.get("time_scope")}
    return _preview(operation_of(info), {**whole, "series": [input]}, FRAMES).series


@preview_type.field("numberOfRepositories")
def resolve_number(preview: Preview, _: Info) -> int:
    return len(preview.names)


@preview_type.field("repositoryNames")
def resolve_names(preview: Preview, _: Info, first: int | None = None) -> list[str]:
    return preview.names[: 5 if first is None else max(0, first)]


@preview_type.field("sample")
def resolve_sample(preview: Preview, _: Info) -> dict[str, object]:
    sample = preview.sample
    return {
        "counted": len(sample.counted),
        "not_on_this_machine": sample.not_here,
        "not_in_time": sample.not_in_time,
        "unreadable": sample.unreadable,
        "is_busy": sample.busy,
        "duration_seconds": sample.duration_s,
    }


@preview_type.field("estimate")
def resolve_estimate(preview: Preview, _: Info) -> dict[str, object]:
    estimate = preview.estimate
    return {
        "frames": preview.frames,
        "cells": estimate.cells,
        "files": estimate.files,
        "counting_seconds": estimate.counting_s,
    }


@line_type.field("label")
def resolve_label(one: PreviewLine, _: Info) -> str:
    return one.line.label


@line_type.field("values")
def resolve_values(one: PreviewLine, _: Info) -> Sequence[float | None]:
    return one.line.values


@line_type.field("isEstimate")
def resolve_is_estimate(one: PreviewLine, _: Info) -> bool:
    return one.line.is_estimate


@line_type.field("coveredRepositories")
def resolve_covered(one: PreviewLine, _: Info) -> int:
    return one.line.covered


@line_type.field("countedRepositories")
def resolve_counted(one: PreviewLine, _: Info) -> int:
    return one.line.counted


@line_type.field("points")
def resolve_points(one: PreviewLine, _: Info, **__: object) -> list[Point]:
    return [
        Point(
            date_time=time,
            value=value,
            complete=complete and one.line.counted == one.line.covered,
            diff_query=f"before:{rfc3339(time)} type:diff {one.query}",
            point_in_time_query=f"rev:at.time({rfc3339(time)}) {one.query}",
        )
        for time, value, complete in zip(one.times, one.line.values, one.line.complete, strict=True)
        if value is not None
    ]


def _preview(operation: Operation, given: Mapping[str, object], frames: int) -> Preview:
    found = queries.all_repositories(operation.reads.snapshot.connection)
    series = _definitions(operation, given, found)
    known = {one.id: one for one in found}
    seen = [scope.Repository(one.id, one.name, one.fork, one.archived) for one in found]
    covered = [frozenset(scope.repositories_in_scope(one, seen)) for one in series]
    every = frozenset().union(*covered)
    operation.renew()  # no transaction is held open while git counts

    def place_of(repository_id: int) -> Place | None:
        folder = _folder(operation.services.previewer.home, known[repository_id])
        if folder is None:
            return None
        about = tuple(number for number, ids in enumerate(covered) if repository_id in ids)
        return Place(repository_id, folder, about)

    interval = Interval(series[0].unit, series[0].value)
    instants = tuple(interval.instant(index) for index in interval.newest(FRAMES, operation.now))
    sample = operation.services.previewer.count(series, order_of(every), place_of, instants)
    return Preview(
        series=[
            PreviewLine(line=line, query=series[line.series].query, times=instants)
            for line in lines_of(series, covered, sample, len(instants))
        ],
        names=sorted(known[number].name for number in every),
        sample=sample,
        estimate=estimate_of(covered, sample, frames=frames, sampled_frames=len(instants)),
        frames=frames,
    )


def _definitions(
    operation: Operation, given: Mapping[str, object], found: Sequence[Repository]
) -> list[SeriesDefinition]:
    """The series as the insight would have them, by the rules of its creation. Raises InputRefused, with its fields."""
    parts = given.get("series")
    whole: dict[str, object] = {
        "options": {"title": _TITLE},
        "repository_scope": given.get("repository_scope"),
        "time_scope": given.get("time_scope"),
        "data_series": [
            {**one, "options": {"label": one.get("label")}}
            for one in (parts if isinstance(parts, list) else ())
            if isinstance(one, Mapping)
        ],
    }
    wanted = names_in(whole)
    ids = {one.name: one.id for one in found if one.name in wanted}
    created = insight_created(
        whole, insight_id=0, creator=operation.user.name, created_at=operation.now, repository_ids=ids
    )
    return created.series


def _folder(home: Path, repository: Repository) -> Path | None:
    """The clone that this machine can read, if there is one."""
    if repository.clone_state != _READY:
        return None
    folder = clone_path(home, repository.id, repository.path)
    return folder if folder.is_dir() else None


bindables = [query, preview_type, line_type]
