"""What a repository is: its default branch, tip, shallow boundary, span of time."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from streams.search.git.command import Git
from streams.search.protocol import EngineError, RefsState, RepositoryState

_COMMON_NAMES = ("main", "master", "trunk")
_LATEST_S = 253_370_764_800
"""9999-01-01: git keeps any number as a commit's time, a date does not."""


def default_branch(repository: Path) -> str | None:
    """Short name of the branch that is counted; None when there is no branch with a commit.

    In a clone with a work tree: the branch that the remote calls its default, where it exists here, so that a
    feature branch checked out for a while changes no chart. Else HEAD's branch; else main, master, trunk, the only
    one; ``HEAD`` when HEAD is detached and there are no branches. Raises EngineError.
    """
    name, _ = _default_branch(Git(repository))
    return name


def _default_branch(git: Git) -> tuple[str | None, str | None]:
    """(name, id of its tip)."""
    listed = git.run(
        "for-each-ref",
        "--format=%(HEAD)%(refname) %(objectname) %(symref)",
        "refs/heads",
        "refs/remotes/origin/HEAD",
    )
    tips: dict[str, str] = {}
    head = remote = ""
    # By line feeds alone: a branch may hold what Unicode calls a line separator, never a space.
    for line in listed.decode(errors="surrogateescape").rstrip("\n").split("\n") if listed else ():
        ref, oid, target = line[1:].split(" ")
        name = ref.removeprefix("refs/heads/")
        if name == ref:
            remote = target.removeprefix("refs/remotes/origin/")
            continue
        tips[name] = oid
        if line[0] == "*":
            head = name
    for name in (remote, head, *_COMMON_NAMES):
        if name in tips:
            return name, tips[name]
    if len(tips) == 1:
        return next(iter(tips.items()))
    if not tips and (tip := commit_of(git, "HEAD")):
        return "HEAD", tip
    return None, None


def has_commit(repository: Path, commit: str) -> bool:
    """Whether this commit is here."""
    return commit_of(Git(repository), commit) is not None


def tip_of(git: Git, branch: str | None) -> str | None:
    """Commit id of the branch's tip (None = default branch); None when it has no commit."""
    if branch is None:
        _, tip = _default_branch(git)
        return tip
    return commit_of(git, f"refs/heads/{branch}") or commit_of(git, branch)


def commit_of(git: Git, revision: str) -> str | None:
    """Id of the commit that ``revision`` names; None when it is not here."""
    found = git.run("rev-parse", "-q", "--verify", "--end-of-options", f"{revision}^{{commit}}", check=False)
    return found.decode().strip() or None


def shallow_boundary(git: Git) -> frozenset[str]:
    """Ids of the commits whose parents were cut off; empty for a full clone."""
    path = Path(git.run("rev-parse", "--git-path", "shallow").decode(errors="surrogateescape").strip())
    try:
        return frozenset((git.repository / path).read_text().split())
    except FileNotFoundError:
        return frozenset()


def refs_fingerprint(repository: Path) -> str:
    """A SHA-256 over HEAD and all refs: another one when any of them has moved. One short git command, mostly.

    Raises EngineError when ``repository`` is none.
    """
    if not repository.is_dir():
        raise EngineError(f"{repository} is no folder", remedy="Give the path of a git repository.")
    git = Git(repository)
    refs = git.run("for-each-ref", "--format=%(HEAD)%(objectname) %(refname) %(symref)")
    on_branch = refs.startswith(b"*") or b"\n*" in refs
    # Detached, or on a branch without a commit: no ref says so.
    head = b"" if on_branch else git.run("rev-parse", "-q", "--verify", "HEAD", check=False)
    return hashlib.sha256(refs + head).hexdigest()


def refs_of(repository: Path) -> RefsState:
    """Where the refs are. Raises EngineError when ``repository`` is none."""
    # First: what moves after this is seen as a move by the next one who looks.
    fingerprint = refs_fingerprint(repository)
    git = Git(repository)
    branch, tip = _default_branch(git)
    return RefsState(
        default_branch=branch,
        tip=tip,
        shallow=bool(shallow_boundary(git)),
        refs_fingerprint=fingerprint,
    )


def describe(repository: Path) -> RepositoryState:
    """See ``RepositoryState``. Raises EngineError when ``repository`` is none."""
    refs = refs_of(repository)
    first = last = None
    if refs.tip is not None:
        with Git(repository).start(["rev-list", "--first-parent", "--timestamp", refs.tip]) as walk:
            lines = walk.stdout.read().split(b"\n")
        last, first = _time_of(lines[0]), _time_of(lines[-2] if len(lines) > 1 else lines[0])
    return RepositoryState(
        default_branch=refs.default_branch,
        tip=refs.tip,
        shallow=refs.shallow,
        refs_fingerprint=refs.refs_fingerprint,
        first_commit_at=first,
        last_commit_at=last,
    )


def _time_of(line: bytes) -> datetime | None:
    if not line:
        return None
    seconds = int(line.split(b" ", 1)[0])
    return datetime.fromtimestamp(min(seconds, _LATEST_S), UTC)
