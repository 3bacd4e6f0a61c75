"""What a repository is: its default branch, tip, shallow boundary, span of time."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from streams.search.git.command import Git
from streams.search.protocol import EngineError, RepositoryState

_COMMON_NAMES = ("main", "master", "trunk")


def default_branch(repository: Path) -> str | None:
    """Short name of the branch that is counted; None when there is no branch with a commit.

    In a clone with a work tree: the branch that the remote calls its default, where it exists here, so that a
    feature branch checked out for a while changes no chart. Else HEAD's branch; else main, master, trunk, the only
    one; ``HEAD`` when HEAD is detached and there are no branches. Raises EngineError.
    """
    return _default_branch(Git(repository))


def _default_branch(git: Git) -> str | None:
    listed = git.run("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")
    branches = [line.decode(errors="surrogateescape") for line in listed.splitlines()]
    remote = (
        git.run("symbolic-ref", "-q", "--short", "refs/remotes/origin/HEAD", check=False).decode().strip()
    )
    head = git.run("symbolic-ref", "-q", "--short", "HEAD", check=False)
    wanted = [remote.removeprefix("origin/"), head.decode(errors="surrogateescape").strip(), *_COMMON_NAMES]
    for name in wanted:
        if name in branches:
            return name
    if len(branches) == 1:
        return branches[0]
    if not branches and git.run("rev-parse", "-q", "--verify", "HEAD^{commit}", check=False):
        return "HEAD"
    return None


def tip_of(git: Git, branch: str | None) -> str | None:
    """Commit id of the branch's tip (None = default branch); None when it has no commit."""
    name = branch or _default_branch(git)
    if name is None:
        return None
    for candidate in (f"refs/heads/{name}", name):
        found = git.run(
            "rev-parse", "-q", "--verify", "--end-of-options", f"{candidate}^{{commit}}", check=False
        )
        if found:
            return found.decode().strip()
    return None


def shallow_boundary(git: Git) -> frozenset[str]:
    """Ids of the commits whose parents were cut off; empty for a full clone."""
    path = Path(git.run("rev-parse", "--git-path", "shallow").decode(errors="surrogateescape").strip())
    try:
        return frozenset((git.repository / path).read_text().split())
    except FileNotFoundError:
        return frozenset()


def describe(repository: Path) -> RepositoryState:
    """See ``RepositoryState``. Raises EngineError when ``repository`` is none."""
    if not repository.is_dir():
        raise EngineError(f"{repository} is no folder", remedy="Give the path of a git repository.")
    git = Git(repository)
    git.run("rev-parse", "--git-dir")
    branch = _default_branch(git)
    tip = tip_of(git, branch)
    first = last = None
    if tip is not None:
        with git.start(["rev-list", "--first-parent", "--timestamp", tip]) as walk:
            lines = walk.stdout.read().split(b"\n")
        last, first = _time_of(lines[0]), _time_of(lines[-2] if len(lines) > 1 else lines[0])
    refs = git.run("for-each-ref", "--format=%(objectname) %(refname)")
    head = git.run("rev-parse", "--symbolic-full-name", "HEAD", check=False)
    return RepositoryState(
        default_branch=branch,
        tip=tip,
        shallow=bool(shallow_boundary(git)),
        first_commit_at=first,
        last_commit_at=last,
        refs_fingerprint=hashlib.sha256(refs + head).hexdigest(),
    )


def _time_of(line: bytes) -> datetime | None:
    return datetime.fromtimestamp(int(line.split(b" ", 1)[0]), UTC) if line else None
