"""Which repositories the demo is about: the samples, the one it stands in, or the reader's own.

What cannot be counted honestly is refused with a remedy when it was named, and left out with one line when it was only found.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from infra.embedded.errors import MissingProgram
from schemas.errors import MillstreamError
from schemas.ids import InvalidRepositoryName, canonical_repository_name
from streams.repositories.location import CloneRefused, check_clone_url, without_credentials
from streams.repositories.mirror import ClonePolicy, check_reachable

FULL_HISTORY: Final = timedelta(days=60)
"""What the repository that the demo stands in must have, to be worth a line in the chart."""
_SEARCH_DEPTH: Final = 3
_REACHABLE: Final = ClonePolicy(timeout_s=30.0)


class NotARepository(MillstreamError):
    """What was named is no git repository."""


class ShallowClone(MillstreamError):
    """The past of this clone was cut off."""


class NotReachable(MillstreamError):
    """No git repository can be read at a clone URL."""


class EmptyRepository(MillstreamError):
    """Nothing was committed yet."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One repository of the demo. Exactly one of ``path`` and ``clone_url`` is set.

    ``oldest`` is its oldest commit along first parents; None until a clone of the URL is there.
    """

    name: str
    path: Path | None = None
    clone_url: str | None = None
    oldest: datetime | None = None

    @property
    def location(self) -> str:
        """What is registered: the path or the URL."""
        return str(self.path) if self.path is not None else str(self.clone_url)


@dataclass(frozen=True, slots=True)
class Choice:
    """The repositories, and one line for each that was left out."""

    repositories: tuple[Chosen, ...]
    left_out: tuple[str, ...] = ()


def from_text(text: str, *, folder: Path) -> Choice:
    """The repositories that ``text`` names: paths, clone URLs or folders of repositories, separated as in a shell.

    Relative paths begin at ``folder``. An empty or shallow one is left out when others remain. Raises MillstreamError, with the
    remedy, for a name that is none of these, and for such a one when nothing remains.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise NotARepository(
            f"{text!r} cannot be split into names: {error}", remedy="close the quotation mark"
        ) from error
    chosen: dict[str, Chosen] = {}
    left_out: list[str] = []
    uncountable: MillstreamError | None = None
    for word in words:
        try:
            choice = _from_word(word, folder)
        except (ShallowClone, EmptyRepository) as error:
            uncountable = uncountable or error
            left_out.append(f"left out: {error} ({error.remedy})")
            continue
        chosen |= {repository.name: repository for repository in choice.repositories}
        left_out += choice.left_out
    if uncountable is not None and not chosen:
        raise uncountable
    return Choice(tuple(chosen.values()), tuple(left_out))


def to_follow(location: str, *, folder: Path) -> Choice:
    """The repositories at one path or clone URL that somebody wants to follow.

    A shallow or empty one is followed too, with a line that says what it lacks. Raises MillstreamError as ``from_text``.
    """
    try:
        return from_text(shlex.quote(location), folder=folder)
    except (ShallowClone, EmptyRepository) as error:
        path = Path(location.removeprefix("file://")).expanduser()
        path = (path if path.is_absolute() else folder / path).resolve()
        found = Chosen(canonical_repository_name(str(path)), path=path)
        return Choice((found,), (f"{error}; to mend it: {error.remedy}",))
    except (OSError, RuntimeError) as error:  # a folder that may not be entered, the home of an unknown user
        raise NotARepository(
            f"{location} cannot be read: {error}",
            remedy="name a folder with a git repository, or a clone URL",
        ) from error


def standing_in(folder: Path, now: datetime) -> Choice:
    """The repository around ``folder`` when it has enough full history; else one line says why not."""
    top = _git_output(folder, "rev-parse", "--show-toplevel")
    if top is None:
        return Choice((), (f"{folder} is in no git repository, so only the samples are counted",))
    path = Path(top)
    try:
        found = inspect(path)
    except MillstreamError as error:
        return Choice((), (f"this repository is not counted: {error}",))
    if _git_output(path, "config", "--get-regexp", r"^remote\..*\.promisor$"):
        return Choice((), ("this repository is not counted: it is a partial clone, and objects are missing",))
    if found.oldest is None or now - found.oldest < FULL_HISTORY:
        days = 0 if found.oldest is None else (now - found.oldest).days
        return Choice(
            (),
            (
                f"the repository that you stand in is {days} days old: from {FULL_HISTORY.days} days on it is counted too",
            ),
        )
    return Choice((found,))


def inspect(path: Path, *, name: str | None = None) -> Chosen:
    """The repository at exactly this path: a work tree's top, or a bare repository.

    Raises:
        NotARepository: it is none, or git refuses to read it.
        ShallowClone: its past was cut off.
        EmptyRepository: nothing was committed yet.
    """
    require_git()
    path = path.resolve()
    done = _git(path, "rev-parse", "--is-bare-repository", "--is-shallow-repository")
    if done.returncode != 0 or not _is_top(path):
        reason = done.stderr.strip()
        if "dubious ownership" in reason:
            raise NotARepository(
                f"git does not read {path}, which belongs to another account",
                remedy=f"git config --global --add safe.directory {shlex.quote(str(path))}",
            )
        raise NotARepository(
            f"{path} is no git repository", remedy="name the top folder of a clone, or a bare repository"
        )
    if done.stdout.split()[1] == "true":
        raise ShallowClone(
            f"{path} is a shallow clone: its past is missing",
            remedy=f"git -C {shlex.quote(str(path))} fetch --unshallow",
        )
    stamps = _git_output(path, "rev-list", "--first-parent", "--timestamp", "HEAD")
    if not stamps:
        raise EmptyRepository(
            f"{path} has no commit on its branch yet",
            remedy="commit something first, or name another repository",
        )
    oldest_s = min(int(line.split()[0]) for line in stamps.splitlines())
    return Chosen(
        name or canonical_repository_name(str(path)), path=path, oldest=datetime.fromtimestamp(oldest_s, UTC)
    )


def check_urls(repositories: Sequence[Chosen], *, otherwise: str = "") -> None:
    """Ask git for each clone URL, before anything is registered. Raises NotReachable; ``otherwise`` ends its remedy."""
    for one in repositories:
        if one.clone_url is None:
            continue
        try:
            check_reachable(one.clone_url, _REACHABLE)
        except CloneRefused as error:
            shown = without_credentials(one.clone_url)
            raise NotReachable(
                f"{shown} cannot be read, so nothing was registered: {' '.join(str(error).split())}",
                remedy=f"See what git says: git ls-remote {shlex.quote(shown)}{otherwise}",
            ) from error


def require_git() -> None:
    """Raise MissingProgram when there is no git."""
    if shutil.which("git") is None:
        raise MissingProgram(
            "there is no git on this machine",
            remedy="install git (for example: apt install git) and try again",
        )


def _from_word(word: str, folder: Path) -> Choice:
    path = Path(word).expanduser()
    path = path if path.is_absolute() else folder / path
    if path.is_dir():
        return _from_folder(path)
    if "://" in word or (":" in word.split("/", 1)[0] and not path.exists()):
        return Choice((_from_url(word),))
    what = "is a file" if path.exists() else "does not exist"
    raise NotARepository(f"{path} {what}", remedy="name a folder with a git repository, or a clone URL")


def _from_url(url: str) -> Chosen:
    if url.startswith("file://"):
        return inspect(Path(url.removeprefix("file://")))
    check_clone_url(url)
    try:
        return Chosen(canonical_repository_name(url), clone_url=url)
    except InvalidRepositoryName as error:
        raise NotARepository(str(error), remedy=error.remedy) from error


def _from_folder(path: Path) -> Choice:
    if _is_top(path):
        return Choice((inspect(path),))
    found: list[Chosen] = []
    left_out: list[str] = []
    for candidate in _repositories_below(path, _SEARCH_DEPTH):
        try:
            found.append(inspect(candidate))
        except MillstreamError as error:
            left_out.append(f"left out: {error}")
    if found:
        return Choice(tuple(found), tuple(left_out))
    if left_out:
        raise NotARepository(
            f"no repository below {path} can be counted ({left_out[0]})", remedy="name another folder"
        )
    top = _git_output(path, "rev-parse", "--show-toplevel")
    if top is not None:
        raise NotARepository(
            f"{path} is inside the repository {top}, and not one itself",
            remedy=f"name it instead: REPO={shlex.quote(top)}",
        )
    inspect(path)  # says why not
    raise NotARepository(
        f"no git repository in {path}", remedy="name a folder with a git repository, or a clone URL"
    )


def _repositories_below(folder: Path, depth: int) -> Sequence[Path]:
    """Tops of work trees and bare repositories, sorted; not those inside another one."""
    found: list[Path] = []
    for child in sorted(folder.iterdir()):
        if child.is_symlink() or not child.is_dir() or not os.access(child, os.R_OK | os.X_OK):
            continue
        if _is_top(child):
            found.append(child)
        elif depth > 1:
            found += _repositories_below(child, depth - 1)
    return found


def _is_top(path: Path) -> bool:
    """Whether this folder looks like a work tree's top or a bare repository."""
    return (path / ".git").exists() or (
        (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
    )


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**kept, "LC_ALL": "C"},
    )


def _git_output(folder: Path, *arguments: str) -> str | None:
    done = _git(folder, *arguments)
    return done.stdout.strip() if done.returncode == 0 else None
