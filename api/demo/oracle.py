"""``git grep`` as a witness: the same counts, made in the way that everybody knows, one frame after the other.

It is only a witness for what it counts alike: one literal text, no filters (see docs/counting.md for where it differs).
"""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from schemas.errors import MillstreamError
from streams.search.query import PatternType, QueryError, ResultType, parse
from streams.search.query.fields import Field
from streams.search.query.nodes import And, Node, Parameter, Pattern
from streams.search.query.values import boolean

_EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_HARMLESS: Final = frozenset(
    {Field.CASE, Field.PATTERN_TYPE, Field.TYPE, Field.REPO, Field.FORK, Field.ARCHIVED}
)
"""Fields that do not change what is counted in a repository that was chosen."""
_CHUNK_BYTES: Final = 1 << 16


class GrepFailed(MillstreamError):
    """``git grep`` could not be run in a repository."""


@dataclass(frozen=True, slots=True)
class GrepPattern:
    """What ``git grep`` is asked for. ``flag`` is -F, or -E and -P where they are only tried."""

    text: str
    case_sensitive: bool
    flag: str = "-F"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Every occurrence on a line of its own, binary files left out, without file names."""
        fold = () if self.case_sensitive else ("-i",)
        return ("grep", "-I", "-h", "-o", *fold, self.flag, "-e", self.text)


@dataclass(frozen=True, slots=True)
class Cell:
    """What was counted for one series in one repository at one frame; ``commit`` None: before the first commit."""

    query: str
    repository: str
    path: Path
    frame: datetime
    commit: str | None
    value: int
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell where ``git grep`` counts something else."""

    cell: Cell
    git_grep: int


@dataclass(frozen=True, slots=True)
class Witness:
    """The outcome of the comparison. ``why_not`` says why there is none, or why it stopped early."""

    cells_compared: int = 0
    cells_all: int = 0
    duration_s: float = 0.0
    differences: tuple[Difference, ...] = ()
    why_not: str = ""


def grep_pattern(query: str) -> GrepPattern | None:
    """The pattern with which ``git grep`` counts what this query counts; None when it can be no witness."""
    try:
        parsed = parse(query, PatternType.LITERAL)
    except QueryError:
        return None
    if parsed.count is not None or parsed.types not in (frozenset(), frozenset({ResultType.FILE})):
        return None
    nodes = parsed.node.operands if isinstance(parsed.node, And) else (parsed.node,)
    pattern = _only_pattern(nodes)
    if pattern is None or len(pattern.pieces) != 1 or pattern.pieces[0].is_regexp or pattern.negated:
        return None
    text = pattern.pieces[0].text
    if (
        not text or not text.isascii() or not text.isprintable()
    ):  # git folds case by locale, and works on lines
        return None
    return GrepPattern(text, _case_sensitive(nodes))


def compare(
    cells: Sequence[Cell], *, budget_s: float, excluded: Mapping[Path, Sequence[str]] | None = None
) -> Witness:
    """Run ``git grep`` once for every cell, in order, and compare; stops when ``budget_s`` is used up.

    Args:
        excluded: paths that are too large to be searched, by repository.

    Raises:
        GrepFailed: git could not read a commit.
    """
    countable = [(cell, grep_pattern(cell.query)) for cell in cells if cell.complete]
    if any(pattern is None for _, pattern in countable):
        return Witness(
            cells_all=len(cells), why_not="git grep is no witness for this query (see docs/counting.md)"
        )
    if not countable:
        return Witness(cells_all=len(cells), why_not="no cell was counted completely")
    git_dirs: dict[Path, Path] = {}
    differences: list[Difference] = []
    compared, duration_s = 0, 0.0
    for cell, pattern in countable:
        if duration_s > budget_s:
            break
        counted = 0
        if cell.commit is not None and pattern is not None:
            git_dir = git_dirs.setdefault(cell.path, git_directory(cell.path))
            began = time.perf_counter()
            counted = count(git_dir, pattern, cell.commit, (excluded or {}).get(cell.path, ()))
            duration_s += time.perf_counter() - began
        compared += 1
        if counted != cell.value:
            differences.append(Difference(cell, counted))
    why_not = "" if compared == len(cells) else f"{compared} of {len(cells)} cells compared"
    if compared < len(countable):
        why_not += f", stopped after {budget_s:.0f} s"
    elif why_not:
        why_not += ", the others are incomplete"
    return Witness(compared, len(cells), duration_s, tuple(differences), why_not)


def count(git_dir: Path, pattern: GrepPattern, commit: str, excluded: Iterable[str] = ()) -> int:
    """Occurrences at a commit, read as in a bare clone: no attributes, no locale. Raises GrepFailed."""
    command = ["git", f"--git-dir={git_dir}", "-c", "core.bare=true", "-c", f"attr.tree={_EMPTY_TREE}"]
    command += ["-c", f"core.attributesFile={os.devnull}", *pattern.arguments, commit]
    command += ["--", ".", *(f":(exclude,literal,top){path}" for path in excluded)] if excluded else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"LC_ALL": "C", "GIT_ATTR_NOSYSTEM": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=git_dir
    ) as process:
        lines = 0
        if process.stdout is not None:
            while chunk := process.stdout.read(_CHUNK_BYTES):
                lines += chunk.count(b"\n")
        complaint = (
            process.stderr.read().decode(errors="replace").strip() if process.stderr is not None else ""
        )
    if process.returncode not in (0, 1):  # 1: nothing found
        raise GrepFailed(
            f"git grep failed in {git_dir}: {complaint}",
            remedy=f"git --git-dir={shlex.quote(str(git_dir))} fsck",
        )
    return lines


def git_directory(path: Path) -> Path:
    """The git directory of a work tree's top or of a bare repository. Raises GrepFailed."""
    done = subprocess.run(
        ["git", "-C", str(path), "rev-parse", "--absolute-git-dir"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GrepFailed(
            f"{path} cannot be read by git: {done.stderr.strip()}",
            remedy=f"git -C {shlex.quote(str(path))} status",
        )
    return Path(done.stdout.strip())


def check_command(cell: Cell, pattern: GrepPattern) -> str:
    """A line to paste into a shell that prints the cell's value."""
    return f"git -C {shlex.quote(str(cell.path))} {shlex.join(pattern.arguments)} {cell.commit} | wc -l"


def command_that_prints(
    cells: Iterable[Cell], run: Callable[[str], str] | None = None
) -> tuple[str, Cell] | None:
    """The first check command that really prints its cell's value, tried here; None when there is none.

    For queries that ``git grep`` is no witness for, its two regexp dialects are tried as well.
    """
    tried = 0
    for cell in cells:
        if cell.commit is None or not cell.complete or cell.value == 0:
            continue
        for pattern in _candidates(cell.query):
            command = check_command(cell, pattern)
            if (run or _shell)(command).strip() == str(cell.value):
                return command, cell
            tried += 1
        if tried >= 6:
            break
    return None


def _shell(command: str) -> str:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout


def _candidates(query: str) -> Sequence[GrepPattern]:
    exact = grep_pattern(query)
    if exact is not None:
        return (exact,)
    try:
        parsed = parse(query, PatternType.LITERAL)
    except QueryError:
        return ()
    nodes = parsed.node.operands if isinstance(parsed.node, And) else (parsed.node,)
    patterns = [node for node in nodes if isinstance(node, Pattern)]
    if len(patterns) != 1 or len(patterns[0].pieces) != 1 or patterns[0].negated:
        return ()
    piece = patterns[0].pieces[0]
    flags = ("-P", "-E") if piece.is_regexp else ("-F",)
    return [GrepPattern(piece.text, _case_sensitive(nodes), flag) for flag in flags]


def _only_pattern(nodes: Sequence[Node]) -> Pattern | None:
    """The one pattern, when nothing beside it changes what is counted."""
    patterns = [node for node in nodes if isinstance(node, Pattern)]
    others = [node for node in nodes if not isinstance(node, Pattern)]
    harmless = all(isinstance(node, Parameter) and node.field in _HARMLESS for node in others)
    return patterns[0] if len(patterns) == 1 and harmless else None


def _case_sensitive(nodes: Sequence[Node]) -> bool:
    return any(
        isinstance(node, Parameter) and node.field is Field.CASE and boolean(node.value) for node in nodes
    )
