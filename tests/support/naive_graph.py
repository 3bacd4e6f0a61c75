"""The rules of the commit graph, word for word and without a thought for speed. Shares no code with the product.

1. An upload at a commit is visible there at distance 0.
2. What is visible at a parent at distance n is visible at its child at n + 1.
3. Of each root and indexer only the nearest upload counts; of two that are equally far away the one with the larger id.

A commit has a row of its own when it has an upload, several parents, or a child with several parents; and also when the nearest
such commit above it sees exactly one upload. It has a link to that commit when it sees several. Else it has neither.
Only what can be reached from a ref, or from a commit with an upload, is looked at.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from tests.support.graph_facts import Fact, Gone, Published, Pushed, Ref, Removed, Told


class NaiveUpload(NamedTuple):
    """One visible upload."""

    number: int
    commit: str
    root: str
    indexer: str


class NaiveRows(NamedTuple):
    """What the three tables have to hold."""

    nearest: dict[str, dict[int, int]]
    links: dict[str, tuple[str, int]]
    tips: dict[tuple[int, str], tuple[str, bool]]


def truth(facts: Sequence[Fact]) -> NaiveRows:
    """What the tables have to hold once all these facts have come, in whatever order their topics came.

    An upload is visible once it was published, unless it was replaced or is being deleted. The refs are those of the newest look
    of which all parts are there, and a part that came twice is one part. A commit's parents are known once anybody told of them.
    """
    told = [one for one in facts if isinstance(one, Told)]
    parents: dict[str, list[str]] = {}
    for one in told:
        for name, above, is_cut in one.commits:
            if not is_cut or name not in parents:
                parents[name] = list(above)
    whole = [
        push
        for push in {one.push for one in told}
        if {one.part for one in told if one.push == push}
        == set(range(1, max(one.of for one in told if one.push == push) + 1))
    ]
    newest = max(whole, default=None)
    pushes = [one.number for one in facts if isinstance(one, Pushed)]
    refs = {ref for one in told if one.push == newest for ref in one.refs}
    published = [one for one in facts if isinstance(one, Published)]
    out = {one.upload for one in facts if isinstance(one, Gone)}
    out |= {former for one in published for former in one.replaces}
    uploads = {
        NaiveUpload(one.upload, one.commit, one.root, one.indexer)
        for one in published
        if one.upload not in out
    }
    followed = [one.back for one in facts if isinstance(one, Removed)]
    if followed and not followed[-1]:
        uploads = set()
    if not pushes:
        refs = {ref._replace(age=timedelta(0)) for ref in refs}
    return rows(parents, sorted(refs), sorted(uploads))


def rows(parents: dict[str, list[str]], refs: list[Ref], uploads: list[NaiveUpload]) -> NaiveRows:
    """All rows of one repository; ``parents`` holds every known commit."""
    known = set(parents) | {upload.commit for upload in uploads}
    edges = {
        commit: [one for one in sorted(set(parents.get(commit, []))) if one in known] for commit in known
    }
    reached: set[str] = set()
    for start in [ref.tip for ref in refs] + [upload.commit for upload in uploads]:
        if start in known:
            reached |= set(_distances(edges, start))
    visible = {commit: _visible(edges, commit, uploads) for commit in reached}
    own = {upload.commit for upload in uploads}
    merges = {commit for commit in reached if len(edges[commit]) > 1}
    special = own | merges | {one for commit in merges for one in edges[commit]}
    nearest: dict[str, dict[int, int]] = {}
    links: dict[str, tuple[str, int]] = {}
    for commit in reached:
        at, steps = commit, 0
        while at not in special and edges[at]:
            at, steps = edges[at][0], steps + 1
        if at not in special:
            continue
        if at == commit or len(visible[at]) == 1:
            if visible[commit]:
                nearest[commit] = visible[commit]
        elif visible[at]:
            links[commit] = (at, steps)
    tips: dict[tuple[int, str], tuple[str, bool]] = {}
    kept = [
        ref
        for ref in refs
        if ref.default or ref.age <= (timedelta(days=365) if ref.tag else timedelta(days=90))
    ]
    for ref in kept:
        together = [one for one in kept if one.tip == ref.tip]
        for number in visible.get(ref.tip, {}):
            names = ",".join(sorted(one.name for one in together))
            tips[number, ref.tip] = (names, any(one.default for one in together))
    return NaiveRows(nearest, links, tips)


def visible_at(parents: dict[str, list[str]], uploads: list[NaiveUpload], commit: str) -> dict[int, int]:
    """Upload -> distance at one commit."""
    known = set(parents) | {upload.commit for upload in uploads}
    edges = {one: [up for up in parents.get(one, []) if up in known] for one in known}
    return _visible(edges, commit, uploads)


def _visible(edges: dict[str, list[str]], commit: str, uploads: list[NaiveUpload]) -> dict[int, int]:
    distances = _distances(edges, commit)
    best: dict[tuple[str, str], tuple[int, int]] = {}
    for upload in uploads:
        if upload.commit not in distances:
            continue
        distance, family = distances[upload.commit], (upload.root, upload.indexer)
        if family in best:
            other_distance, other_number = best[family]
            if other_distance < distance:
                continue
            if other_distance == distance and other_number > upload.number:
                continue
        best[family] = (distance, upload.number)
    return {number: distance for distance, number in best.values()}


def _distances(edges: dict[str, list[str]], start: str) -> dict[str, int]:
    """Ancestors of a commit and how many steps up each is, by the shortest way."""
    found = {start: 0}
    front = [start]
    while front:
        further: list[str] = []
        for commit in front:
            for parent in edges[commit]:
                if parent not in found:
                    found[parent] = found[commit] + 1
                    further.append(parent)
        front = further
    return found
