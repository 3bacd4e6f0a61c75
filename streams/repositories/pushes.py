"""From refs to ``repository.pushed``: what has moved since it was said last."""

from pathlib import Path
from typing import Final

from schemas.events import RefMove, RepositoryCloneFailed, RepositoryPushed
from schemas.ids import derived_event_id
from schemas.limits import MAX_BRANCH_BYTES
from streams.repositories.places import Said
from streams.search.engine import RefsState
from streams.search.git.command import Git

MAX_REFS: Final = 1_000
MAX_REF_CHARACTERS: Final = 4_000
MAX_REFS_BYTES: Final = 400_000
"""Of all names together: with the commits and what JSON adds this stays below what the log takes."""


def pushed(repository_id: int, repository: Path, said: Said | None, state: RefsState) -> RepositoryPushed:
    """The event for ``state``; ``said`` None: the first one."""
    refs, omitted = _refs(repository, said, state)
    return RepositoryPushed(
        repository_id=repository_id,
        default_branch=writable(state.default_branch),
        tip=state.tip,
        previous_tip=None if said is None else said.tip,
        refs=refs,
        refs_omitted=omitted,
        refs_fingerprint=state.refs_fingerprint,
        shallow=state.shallow,
    )


def answer_id(outcome: RepositoryPushed | RepositoryCloneFailed, cause_id: str) -> str:
    """Id of the answer to a registration: one per event that asked, and per outcome."""
    if isinstance(outcome, RepositoryPushed):
        return derived_event_id("repository.pushed", outcome.refs_fingerprint, cause_id)
    return derived_event_id("repository.clone_failed", outcome.reason, cause_id)


def move_id(payload: RepositoryPushed, said: Said | None) -> str:
    """Id of a move: of what was said before it and of what the refs are now, whoever saw it."""
    before = ("", "") if said is None else (said.offset, said.refs_fingerprint)
    return derived_event_id("repository.pushed", payload.repository_id, *before, payload.refs_fingerprint)


def writable(name: str | None) -> str | None:
    """A branch name as an event can hold it: None where it is no UTF-8 or too long, the reader then takes the
    default branch."""
    if name is None or not name.isprintable():
        return None
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        return None
    return name if size_bytes <= MAX_BRANCH_BYTES else None


def _refs(repository: Path, said: Said | None, state: RefsState) -> tuple[list[RefMove], int]:
    """The default branch's move and, for a new clone, other branches and tags as far as an event may hold them."""
    refs: list[RefMove] = []
    own = f"refs/heads/{state.default_branch}"
    if (
        state.tip is not None
        and writable(state.default_branch) is not None
        and (said is None or said.tip != state.tip)
    ):
        refs.append(RefMove(ref=own, old=None if said is None else said.tip, new=state.tip))
    if said is not None:
        return refs, 0
    listed = Git(repository).run(
        "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"
    )
    others = [line.decode(errors="replace").split(" ", 1) for line in listed.splitlines()]
    others = [one for one in others if one[1] != own]
    room_bytes = MAX_REFS_BYTES
    for commit, name in others[:MAX_REFS]:
        if len(name) > MAX_REF_CHARACTERS:
            continue
        room_bytes -= len(name.encode())
        if room_bytes < 0:
            break
        refs.append(RefMove(ref=name, old=None, new=commit))
    return refs, len(others) - sum(move.ref != own for move in refs)
