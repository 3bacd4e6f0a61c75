"""From what the graph says of a commit to the uploads that answer there: one of each root and indexer. Pure."""

from collections.abc import Iterable, Mapping

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """An upload that the graph shows at a commit."""

    upload_id: int
    distance: int


class Known(msgspec.Struct, frozen=True):
    """What stands now of an upload that was published."""

    upload_id: int
    commit: bytes
    root: str
    indexer: str
    replaced_by: int | None
    gone: bool


class Answer(msgspec.Struct, frozen=True):
    """An upload that answers."""

    upload_id: int
    commit: bytes
    root: str
    indexer: str
    distance: int


def nearest(seen: Iterable[Candidate], known: Mapping[int, Known]) -> list[Answer]:
    """Of each root and family of indexers the nearest, of equally near ones the larger id; by root, then indexer.

    An upload that was replaced gives its place to the one that replaced it, where that one stands at the same commit.
    """
    best: dict[tuple[str, str], Answer] = {}
    for one in seen:
        upload = present(one.upload_id, known)
        if upload is None:
            continue
        answer = Answer(upload.upload_id, upload.commit, upload.root, upload.indexer, one.distance)
        place = (upload.root, family(upload.indexer))
        there = best.get(place)
        if there is None or (answer.distance, -answer.upload_id) < (there.distance, -there.upload_id):
            best[place] = answer
    return sorted(best.values(), key=lambda one: (one.root, one.indexer, one.upload_id))


def family(indexer: str) -> str:
    """``scip-x`` took the place of ``lsif-x``: they are one."""
    return f"scip-{indexer.removeprefix('lsif-')}" if indexer.startswith("lsif-") else indexer


def present(upload_id: int, known: Mapping[int, Known]) -> Known | None:
    """The upload that answers in the place of this one: itself, or the one that replaced it. None: neither does."""
    upload = known.get(upload_id)
    passed: set[int] = set()
    while upload is not None and upload.replaced_by is not None and upload.upload_id not in passed:
        passed.add(upload.upload_id)
        following = known.get(upload.replaced_by)
        if following is None or (following.commit, following.root) != (upload.commit, upload.root):
            return None
        upload = following
    return None if upload is None or upload.gone or upload.replaced_by is not None else upload
