"""The demo's last lines: what was done, in figures, and how to go on."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from api.cli.rendering import Line
from api.demo.causes import Link
from api.demo.figures import Figures, Present
from api.demo.monitoring import Caught
from api.demo.oracle import Witness
from api.demo.uploading import Uploaded

_MAX_REPOSITORY_ROWS = 12


def lines_of(figures: Figures) -> list[Line]:
    """The chart's lines; of many repositories those with the greatest newest values."""
    return [
        Line(series.label, series.times, series.values, series.complete, _largest(series.per_repository))
        for series in figures.series
    ]


def told(
    figures: Figures, witness: Witness, *, login_link: str | None, home: Path, own_code: bool
) -> list[str]:
    """The last lines, in plain text. ``login_link`` is None when everything ends with them: then there is no page to go to."""
    found = "created" if figures.new else "found again, nothing was counted twice"
    lines = [
        f"What was done ({found}):",
        f"  events    insight.created at {figures.created_position} -> {_count(figures.requests, 'request')}"
        f" -> {_count(figures.results, 'result')} -> {_count(figures.points, 'point')}",
        _cells(figures),
        *_counting(figures),
        *_witness(figures, witness),
        *_check(figures),
        *_present(figures.present),
        f"  lag       {_count(figures.lag_records, 'record')}, {figures.lag_s:.1f} s",
        f"  time      downloads {figures.times.download_s:.1f} s, start {figures.times.start_s:.1f} s, work {figures.times.work_s:.1f} s",
        "",
        *_page(figures, login_link),
        "",
        "How to go on:",
    ]
    if own_code:
        lines.append("  another question:  make demo REPO='<path or clone URL> ...' QUERY='old_api'")
    else:
        lines.append("  your own code:     make demo REPO='<path or clone URL> ...' QUERY='old_api'")
    lines += [
        "  more commands:     .venv/bin/millstream --help",
        f"  everything it keeps is below {shlex.quote(str(home))}; remove it with: make clean-data",
    ]
    return lines


def _cells(figures: Figures) -> str:
    of_all = f"{figures.cells_done:,} of {figures.cells:,}"
    shape = f"({_count(figures.repositories, 'repository')} x frames x series)"
    failed = f", {figures.cells_failed:,} failed" if figures.cells_failed else ""
    if not figures.cells_known:
        return f"  cells     {of_all} counted {shape}{failed}"
    counted = figures.cells_done - figures.cells_known
    return f"  cells     {of_all} {shape}: {_count(figures.cells_known, 'cell')} known from before, {counted:,} counted{failed}"


def _counting(figures: Figures) -> list[str]:
    if figures.cells_known and not figures.files:
        return []
    return [
        f"  counting  {_count(figures.files, 'file')} through {_count(figures.blobs, 'distinct blob')} in {figures.counting_s:.2f} s"
    ]


def _page(figures: Figures, login_link: str | None) -> list[str]:
    if login_link is None:
        return ["  page      to see the page: make demo   (without --exit)"]
    return [
        f"  page      {figures.page}",
        f"  log in    {login_link}   (works once, for 15 minutes)",
    ]


def _witness(figures: Figures, witness: Witness) -> list[str]:
    if not figures.git_grep_cells:
        return [f"            no comparison: {figures.git_grep_why_not}"]
    verdict = "same counts" if not witness.differences else f"{len(witness.differences)} counts differ"
    partly = f" ({figures.git_grep_why_not})" if figures.git_grep_why_not else ""
    lines = [
        f"  git grep  one run per cell, {figures.git_grep_cells:,} runs in {figures.git_grep_s:.2f} s: {verdict}{partly}"
    ]
    for difference in witness.differences[:3]:
        cell = difference.cell
        lines.append(
            f"            {cell.repository} at {str(cell.commit)[:12]}: {cell.query!r} counted {cell.value:,}, git grep {difference.git_grep:,}"
        )
    return lines


def _check(figures: Figures) -> list[str]:
    if not figures.check_command:
        return ["  check     no git command counts this query in exactly the same way: see docs/counting.md"]
    return [
        f"  check     {figures.check_where} is {figures.check_value:,}; this prints it:",
        f"            {figures.check_command}",
    ]


def _present(present: Present | None) -> list[str]:
    if present is None:
        return []
    lines = []
    if (moved := present.moved) is not None:
        lines.append(
            f"  present   commit {moved.commit[:10]} to {moved.repository}: the last point of {moved.label} moved"
            f" from {moved.before:,} to {moved.after:,} in {moved.seconds:.2f} s"
        )
    if (caught := present.caught) is not None:
        lines += _caught(caught)
    if (recovered := present.recovered) is not None:
        lines.append(
            f"  killed    the projector by SIGKILL, with a commit while it was down: {recovered.seconds:.1f} s after the kill"
            f" it was back and had moved the point to {recovered.moved.after:,}"
        )
    if (uploaded := present.uploaded) is not None:
        lines += _uploaded(uploaded)
    verified = present.verified
    verdict = "all equal" if not verified.different else f"{verified.different:,} differ"
    lines.append(
        f"  verify    {verified.events:,} events replayed into {_count(verified.projections, 'projection')} beside"
        f" the live ones: {_count(verified.rows, 'row')} compared, {verdict}, in {verified.seconds:.1f} s"
    )
    return [*lines, *(f"            not compared: {one}" for one in verified.refused)]


def _caught(caught: Caught) -> list[str]:
    return [
        f"  monitor   “{caught.description}” found {_count(caught.results, 'result')} in {caught.commit[:10]}: webhook"
        f" {caught.seconds:.2f} s after the commit, signature verified by its receiver, delivery {caught.delivery_id}",
        f"            {_chain(caught.chain)}",
    ]


def _uploaded(uploaded: Uploaded) -> list[str]:
    found, answers = uploaded.statistics, uploaded.answers
    below = f", {_count(answers.distance, 'commit')} below" if answers.distance else ""
    return [
        f"  upload    SCIP index of {uploaded.repository} ({uploaded.made}: {_count(found.documents, 'document')},"
        f" {_count(found.occurrences, 'occurrence')}): completed {uploaded.completed_s:.2f} s after its first byte,"
        f" visible at the tip after {uploaded.visible_s:.2f} s",
        f"            {_chain(uploaded.chain)}",
        f"            at HEAD {uploaded.head[:10]} answers upload {uploaded.upload_id} of {answers.input_indexer}"
        f" at {answers.input_commit[:10]}{below}",
    ]


def _chain(links: Sequence[Link]) -> str:
    """The events in their order; where the first one lies leads to the others."""
    first = f"{links[0]} at {links[0].position}" if links else "nothing on the log"
    return " -> ".join((first, *(str(link) for link in links[1:])))


def _largest(per_repository: dict[str, list[float | None]]) -> dict[str, Sequence[float | None]]:
    def newest(name: str) -> float:
        known = [value for value in per_repository[name] if value is not None]
        return known[-1] if known else 0.0

    names = sorted(per_repository)
    if len(names) > _MAX_REPOSITORY_ROWS:
        names = sorted(names, key=newest, reverse=True)[:_MAX_REPOSITORY_ROWS]
    return {name: per_repository[name] for name in names}


def _count(number: int, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"
