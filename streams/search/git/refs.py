"""Where branches and tags stand, and which commits are reachable from some tips but not from others."""

import hashlib
import tempfile
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from streams.search.git.command import Git
from streams.search.git.state import commit_of, default_branch, shallow_boundary
from streams.search.protocol import EngineError
from streams.threads import Interrupt

_LATEST_S: Final = 253_370_764_799
"""The last second of 9998, the latest that an event may say; git keeps any number as a commit's time."""
_FORMAT: Final = "%00".join(
    (
        "--format=%(objectname)",
        "%(objecttype)",
        "%(*objectname)",
        "%(*objecttype)",
        "%(committerdate:unix)",
        "%(*committerdate:unix)",
        "%(refname)",
    )
)


class FoundRef(msgspec.Struct, frozen=True, order=True):
    """One branch or tag by its short name, the commit it leads to, and that commit's committer time."""

    is_tag: bool
    name: str
    tip: str
    committed_at: datetime
    is_default: bool


class FoundCommit(msgspec.Struct, frozen=True):
    """One commit; ``cut_off``: at the boundary of a shallow clone, where parents are not known."""

    sha: str
    parents: list[str]
    committed_at: datetime
    cut_off: bool


class FoundRefs(msgspec.Struct, frozen=True):
    """Where all refs stand, in order, and where a shallow clone is cut off. ``digest`` follows from the latter."""

    refs: tuple[FoundRef, ...]
    boundary: frozenset[str]

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(sorted(self.boundary)).encode()).hexdigest()[:16]


def refs_and_boundary(repository: Path) -> FoundRefs:
    """What leads to no commit is left out. Raises EngineError when ``repository`` is none."""
    if not repository.is_dir():
        raise EngineError(f"{repository} is no folder", remedy="Give the path of a git repository.")
    git = Git(repository)
    branch = default_branch(repository)
    found = [
        ref
        for line in git.run("for-each-ref", _FORMAT, "refs/heads", "refs/tags").split(b"\n")
        if line and (ref := _ref(git, line, branch)) is not None
    ]
    if branch == "HEAD" and (tip := commit_of(git, "HEAD")):
        found.append(FoundRef(False, "HEAD", tip, _committed_at(git, tip), True))
    return FoundRefs(tuple(sorted(found)), shallow_boundary(git))


def commits_between(
    repository: Path,
    tips: Collection[str],
    known: Collection[str],
    boundary: frozenset[str],
    interrupt: Interrupt,
) -> Iterator[FoundCommit]:
    """Everything reachable from ``tips`` and from none of ``known``; of these some may have gone.

    The same arguments give the same commits in the same order. Raises EngineError.
    """
    if not tips:
        return
    with tempfile.TemporaryFile() as asked:
        asked.writelines(f"{tip}\n".encode() for tip in sorted(set(tips)))
        asked.writelines(f"^{tip}\n".encode() for tip in sorted(set(known)))
        asked.seek(0)
        walk = ["rev-list", "--parents", "--timestamp", "--ignore-missing", "--stdin"]
        with Git(repository).start(walk, stdin=asked) as process, interrupt.over(process.kill):
            for line in process.stdout:
                seconds, sha, *parents = line.decode("ascii").split()
                yield FoundCommit(sha, parents, _time(int(seconds)), sha in boundary)
            if not process.ended_well():
                raise EngineError(
                    f"git rev-list failed in {repository}",
                    remedy="See whether all its objects are there: git -C FOLDER fsck",
                )


def _ref(git: Git, line: bytes, default: str | None) -> FoundRef | None:
    tip, kind, peeled, peeled_kind, at, peeled_at, full = line.decode(errors="replace").split("\0")
    name, is_tag = full.removeprefix("refs/heads/"), False
    if name == full:
        name, is_tag = full.removeprefix("refs/tags/"), True
    if kind == "tag":
        tip, kind, at = peeled, peeled_kind, peeled_at
    if kind == "tag":  # a tag of a tag
        tip = commit_of(git, tip) or ""
        return FoundRef(is_tag, name, tip, _committed_at(git, tip), False) if tip else None
    if kind != "commit":
        return None
    return FoundRef(is_tag, name, tip, _time(int(at or 0)), not is_tag and name == default)


def _committed_at(git: Git, commit: str) -> datetime:
    return _time(int(git.run("show", "-s", "--format=%ct", commit).split()[0]))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, 0), _LATEST_S), UTC)
