"""Which uploads are visible at which commit (the rules of ``docs/commit-graph.md``). Pure.

Rows are kept for *anchors* alone: commits with an upload, merges, and parents of merges. Every other commit has one parent,
and sees what the nearest anchor above it sees, so many commits further: a row of its own is made only where that is one upload.
"""

from collections.abc import Iterable, Mapping, Set
from typing import Final, TypeAlias

from projections.commit_graph.model import Base, Derived, Link, Nearest, Upload
from projections.commit_graph.tips import at_tips

LARGER_ID_FIRST: Final = -1
"""Among uploads that are equally far away the one with the larger id is nearer: it is the newer one."""

Token: TypeAlias = tuple[str, str]
"""(root, indexer): of each only the nearest upload counts."""
Seen: TypeAlias = "dict[Token, tuple[int, int]]"
"""(distance, signed upload id) of the nearest one; the smaller pair is nearer."""
Parents: TypeAlias = Mapping[bytes, tuple[bytes, ...]]


def derive(base: Base) -> Derived:
    """The rows of one repository."""
    if not base.uploads:
        return Derived(nearest=[], links=[], at_tips=[])
    there = {upload.commit for upload in base.uploads}
    parents = ancestors_first(base.commits, [ref.tip for ref in base.refs], there)
    anchors, above = _visible(parents, base.uploads)
    nearest: list[Nearest] = []
    links: list[Link] = []
    for commit in parents:
        if commit in anchors:
            if anchors[commit]:
                nearest.append(Nearest(commit, _uploads(anchors[commit])))
        elif commit in above:
            ancestor, distance = above[commit]
            if len(anchors[ancestor]) == 1:
                nearest.append(Nearest(commit, _uploads(anchors[ancestor], distance)))
            elif anchors[ancestor]:
                links.append(Link(commit, ancestor, distance))

    def seen(commit: bytes) -> Iterable[int]:
        anchor = commit if commit in anchors else above.get(commit, (None, 0))[0]
        return () if anchor is None else (upload_id for upload_id, _ in _uploads(anchors[anchor]))

    return Derived(
        nearest=sorted(nearest),
        links=sorted(links),
        at_tips=at_tips(base.refs, base.pushed_at, seen),
    )


def ancestors_first(
    commits: Parents, tips: Iterable[bytes], there: Set[bytes]
) -> dict[bytes, tuple[bytes, ...]]:
    """All that is reachable from ``tips`` and from ``there``, with its parents, parents before children.

    A commit that is neither among ``commits`` nor ``there`` is nobody's parent; as a tip it stands alone.
    """
    found: dict[bytes, tuple[bytes, ...]] = {}
    begun: set[bytes] = set()
    for start in (*tips, *there):
        stack = [start]
        while stack:
            commit = stack[-1]
            if commit in found:
                stack.pop()
                continue
            listed = dict.fromkeys(commits.get(commit, ()))
            parents = tuple(one for one in listed if one in commits or one in there)
            missing = [one for one in parents if one not in found and one not in begun]
            begun.add(commit)
            if missing:
                stack += missing
                continue
            found[commit] = parents
            stack.pop()
    return found


def _visible(
    parents: Parents, uploads: Iterable[Upload]
) -> tuple[dict[bytes, Seen], dict[bytes, tuple[bytes, int]]]:
    """What each anchor sees, and for every other commit the anchor above it and how far it is."""
    at: dict[bytes, Seen] = {}
    for upload in uploads:
        _nearer(at.setdefault(upload.commit, {}), (upload.root, upload.indexer), _rank(0, upload.id))
    before_merges = {one for own in parents.values() if len(own) > 1 for one in own}
    anchors: dict[bytes, Seen] = {}
    above: dict[bytes, tuple[bytes, int]] = {}
    for commit, own in parents.items():
        if commit in at or len(own) > 1 or commit in before_merges:
            seen = at.get(commit, {})
            for one in own:
                ancestor, distance = (one, 0) if one in anchors else above.get(one, (None, 0))
                if ancestor is not None:
                    for token, (further, upload_id) in anchors[ancestor].items():
                        _nearer(seen, token, (further + distance + 1, upload_id))
            anchors[commit] = seen
        elif own:
            (one,) = own
            if one in anchors:
                above[commit] = (one, 1)
            elif one in above:
                ancestor, distance = above[one]
                above[commit] = (ancestor, distance + 1)
    return anchors, above


def _nearer(seen: Seen, token: Token, found: tuple[int, int]) -> None:
    there = seen.get(token)
    if there is None or found < there:
        seen[token] = found


def _rank(distance: int, upload_id: int) -> tuple[int, int]:
    return distance, LARGER_ID_FIRST * upload_id


def _uploads(seen: Seen, further: int = 0) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((LARGER_ID_FIRST * signed, distance + further) for distance, signed in seen.values()))
