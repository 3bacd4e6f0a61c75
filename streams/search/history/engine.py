"""Find new commit or diff matches: one read of a range of history serves every query that asks for it.

New is what can be reached from the searched tips now and from no tip that was searched before. Tips that left the searched
branches (a force-push) stay searched, so that what comes back is not told twice.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from streams.search.git.command import Git
from streams.search.git.state import commit_of, shallow_boundary, tip_of
from streams.search.history.commits import FORMAT, commits_of
from streams.search.history.matching import CommitMatch, HistoryPlan, Seen, plan_of
from streams.search.protocol import EngineError
from streams.search.query.history import HistoryQuery
from streams.threads import Interrupt

MAX_TIPS: Final = 100
MAX_MATCHES: Final = 1_000
"""Results of one query that are kept; all are counted."""
MAX_KEPT_CHARACTERS: Final = 8_000_000
"""Of one query's results together."""
_LOG: Final = (
    "-c", "log.showRoot=true", "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false", "-c", "core.quotePath=true",
    "log", f"--format={FORMAT}", "--encoding=UTF-8", "--no-color", "--no-show-signature", "--no-notes", "--no-mailmap",
)  # fmt: skip
_PATCH: Final = (
    "-p", "-U1", "--diff-merges=off", "--no-ext-diff", "--no-textconv", "--find-renames", "-l1000", "--inter-hunk-context=0",
    "--diff-algorithm=myers", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/", "--no-relative", "--ignore-submodules=none",
)  # fmt: skip


class NewIn(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: a query, and the tips that count as searched (None: those found now)."""

    query: HistoryQuery
    searched: tuple[str, ...] | None


class FoundNew(msgspec.Struct, frozen=True, kw_only=True):
    """``tips`` are searched from now on. ``matches`` are the newest, ``count`` and ``match_count`` count all."""

    tips: tuple[str, ...]
    matches: tuple[CommitMatch, ...] = ()
    count: int = 0
    match_count: int = 0
    warnings: tuple[str, ...] = ()


class _Range(msgspec.Struct, frozen=True):
    tips: tuple[str, ...]
    old: tuple[str, ...]


class _Asked(msgspec.Struct):
    """One query on its way; it collects what is found."""

    plan: HistoryPlan
    range: _Range | None
    tips: tuple[str, ...]
    warnings: list[str]
    matches: list[CommitMatch] = []
    count: int = 0
    match_count: int = 0
    characters: int = 0

    def take(self, found: CommitMatch) -> None:
        self.count += 1
        self.match_count += found.matches
        self.characters += len(found.text)
        if len(self.matches) < MAX_MATCHES and self.characters <= MAX_KEPT_CHARACTERS:
            self.matches.append(found)


class HistoryEngine:
    """Looks into one repository. ``branch`` None: the default branch. One look at its refs serves all queries."""

    def __init__(self, repository: Path, branch: str | None, interrupt: Interrupt | None = None) -> None:
        self._git = Git(repository)
        self._branch = branch
        self._interrupt = interrupt or Interrupt()
        self._tips: dict[str | None, str | None] = {}
        self._there: dict[str, bool] = {}
        self._after: dict[_Range, tuple[str, ...]] = {}

    def find(self, asked: Sequence[NewIn]) -> list[FoundNew]:
        """What each query finds, in their order. Raises EngineError: then nothing was searched."""
        works = [self._asked(one) for one in asked]
        by_range: dict[_Range, list[_Asked]] = defaultdict(list)
        for work in works:
            if work.range is not None:
                by_range[work.range].append(work)
        boundary = shallow_boundary(self._git) if by_range else frozenset[str]()
        for span, together in by_range.items():
            self._search(span, together, boundary)
        return [
            FoundNew(
                tips=work.tips,
                matches=tuple(work.matches),
                count=work.count,
                match_count=work.match_count,
                warnings=tuple(work.warnings),
            )
            for work in works
        ]

    def newest(self, query: HistoryQuery, commits: int, is_over: Callable[[], bool]) -> Iterator[CommitMatch]:
        """What the query would have found among the newest ``commits``, the newest first; ends early when ``is_over``."""
        tips, _ = self._now(query)
        if not tips:
            return
        plan = plan_of(query)
        arguments = [*_arguments(plan.needs_diff), f"-n{commits}", *tips, "--"]
        with self._git.start(arguments) as process, self._interrupt.over(process.kill):
            for commit in commits_of(process.stdout):
                found = plan.match(Seen(commit))
                if found is not None:
                    yield found
                if is_over():
                    return

    def _asked(self, one: NewIn) -> _Asked:
        plan = plan_of(one.query)
        tips, warnings = self._now(one.query)
        if one.searched is None:
            return _Asked(plan, None, tips, warnings)
        old = tuple(oid for oid in one.searched if self._is_there(oid))
        gone = len(one.searched) - len(old)
        if gone and not old:
            warnings.append(
                "WARNING: none of the commits searched before is there any more: it begins at the present again"
            )
            return _Asked(plan, None, tips, warnings)
        if gone:
            warnings.append(f"WARNING: {gone} of the commits searched before are there no more: left out")
        if set(tips) <= set(old):
            return _Asked(plan, None, old, warnings)
        span = _Range(tips, old)
        if span not in self._after:
            self._after[span] = self._independent(tips, old)
        return _Asked(plan, span, self._after[span], warnings)

    def _now(self, query: HistoryQuery) -> tuple[tuple[str, ...], list[str]]:
        """The tips that the query searches, and what is wrong with its revisions."""
        wanted: Sequence[str | None] = query.revisions or (self._branch,)
        found: dict[str, None] = {}
        warnings: list[str] = []
        for name in wanted:
            if name not in self._tips:
                self._tips[name] = tip_of(self._git, name)
            tip = self._tips[name]
            if tip is not None:
                found[tip] = None
            elif query.revisions:
                warnings.append(f"WARNING: there is no revision {name}")
        return tuple(sorted(found)), warnings

    def _is_there(self, oid: str) -> bool:
        if oid not in self._there:
            self._there[oid] = commit_of(self._git, oid) is not None
        return self._there[oid]

    def _independent(self, tips: tuple[str, ...], old: tuple[str, ...]) -> tuple[str, ...]:
        """Tips that no other reaches: what is searched now, and what was and is no longer on a searched branch."""
        if not old:
            return tips
        listed = self._git.run("merge-base", "--independent", *tips, *old).decode().split()
        kept = [*tips, *(oid for oid in old if oid in set(listed) and oid not in tips)]
        return tuple(kept[:MAX_TIPS])

    def _search(self, span: _Range, together: Sequence[_Asked], boundary: frozenset[str]) -> None:
        needs_diff = any(one.plan.needs_diff for one in together)
        excluded = ["--not", *span.old] if span.old else []
        with (
            self._git.start([*_arguments(needs_diff), *span.tips, *excluded, "--"]) as process,
            self._interrupt.over(process.kill),
        ):
            for commit in commits_of(process.stdout):
                if commit.id in boundary:
                    _warn(
                        together, f"WARNING: {commit.id} is where the shallow clone ends: it has no diff here"
                    )
                    commit.files.clear()
                if commit.is_cut:
                    _warn(
                        together, f"WARNING: the diff of {commit.id} is very large: its end was not searched"
                    )
                seen = Seen(commit)
                for one in together:
                    found = one.plan.match(seen)
                    if found is not None:
                        one.take(found)
            if not process.ended_well():
                raise EngineError(
                    f"git log failed in {self._git.repository}",
                    remedy="See whether the folder is a whole git repository: git -C FOLDER fsck",
                )


def _arguments(needs_diff: bool) -> tuple[str, ...]:
    return (*_LOG, *_PATCH) if needs_diff else (*_LOG, "--no-patch")


def _warn(together: Sequence[_Asked], warning: str) -> None:
    for one in together:
        if one.plan.needs_diff and len(one.warnings) < 50:
            one.warnings.append(warning)
