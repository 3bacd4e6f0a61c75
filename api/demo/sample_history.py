"""Two years of a made-up service: its commits, branches, merges and renames, as plain values.

Pure and the same at every run: only ``random.Random.random`` is used, whose sequence Python keeps stable between versions.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from api.demo.sample_sources import NOUNS, VERBS, CallSite, Language

HISTORY_MONTHS: Final = 24
MAIN: Final = "refs/heads/main"
_AUTHORS = (
    ("Ada Moss", "ada@example.com"),
    ("Bo Lind", "bo@example.com"),
    ("Chidi Oka", "chidi@example.com"),
    ("Dana Ruiz", "dana@example.com"),
)
_FIXTURES = 160
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample repository. ``centre`` and ``width`` place its migration in the two years (0 to 1)."""

    name: str
    language: Language
    folder_renamed_to: str
    modules_at_start: int
    modules_at_end: int
    centre: float
    width: float


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit. ``parents`` are marks (1 is the first commit); ``renames`` come before ``files``."""

    mark: int
    ref: str
    parents: tuple[int, ...]
    author: tuple[str, str]
    when: datetime
    message: str
    files: dict[str, str]
    renames: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Module:
    name: str
    sites: list[CallSite]

    def copy(self) -> "_Module":
        return _Module(self.name, [site.copy() for site in self.sites])


@dataclass(slots=True)
class _Branch:
    ref: str
    topic: str
    tip: int
    modules: list[_Module]
    merge_on: int
    commit_on: list[int]


def months_before(month: datetime, count: int) -> datetime:
    """The first of the month ``count`` months earlier."""
    months = month.year * 12 + month.month - 1 - count
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def history(sample: Sample, month: datetime) -> list[Commit]:
    """All commits of a sample, oldest first; the last is before ``month`` (the first of a month, UTC)."""
    return _Writer(sample, month).write()


@dataclass(slots=True)
class _Writer:
    sample: Sample
    month: datetime
    commits: list[Commit] = field(default_factory=list)
    modules: list[_Module] = field(default_factory=list)
    branches: list[_Branch] = field(default_factory=list)
    tip: int = 0
    folder: str = ""
    tick: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.sample.name} {self.month:%Y-%m}")
        self.folder = self.sample.language.folder

    def write(self) -> list[Commit]:
        start = months_before(self.month, HISTORY_MONTHS)
        days = (self.month - start).days
        self._begin(start + timedelta(hours=9))
        for day in range(1, days):
            date = start + timedelta(days=day)
            self.tick = 0
            if date.weekday() < 5:
                self._work(day, date, day / days)
        last = self.month - timedelta(minutes=90)
        while self.branches:
            self._merge(self.branches[0], last - timedelta(minutes=len(self.branches)))
        self._commit(
            MAIN,
            (self.tip,),
            last,
            "Write down what changed",
            {"CHANGES.md": f"# Changes up to {self.month:%B %Y}\n"},
        )
        return self.commits

    def _begin(self, when: datetime) -> None:
        project_path, project_text = self.sample.language.project_file
        files = {
            project_path: project_text,
            "README.md": f"# {self.sample.name}\n\nA made-up service: it shows what a migration looks like.\n",
            "CHANGES.md": "# Changes\n",
        }
        for number in range(_FIXTURES):
            lines = "".join(f'  "field_{line}": "{self._below(10**9):09d}",\n' for line in range(20))
            files[f"fixtures/answers/{number:03d}.json"] = "{\n" + lines + f'  "number": {number}\n}}\n'
        for _ in range(self.sample.modules_at_start):
            files |= self._texts(self._new_module(migrated=False))
        self._commit(MAIN, (), when, "Begin", files)

    def _work(self, day: int, date: datetime, progress: float) -> None:
        """One working day: what is due on branches, then perhaps a commit or two on main."""
        for branch in list(self.branches):
            if day >= branch.merge_on:
                self._merge(branch, self._moment(date))
            elif day in branch.commit_on:
                self._commit_on(branch, self._moment(date), progress)
        if day % 13 == 6:
            self._open_branch(day)
        if self.folder != self.sample.folder_renamed_to and progress > 0.4 and not self.branches:
            self._rename_folder(date)
        elif self.dice.random() < 0.08:
            self._rename_module(date)
        if self.dice.random() < 0.7:
            self._change(date, progress)

    def _change(self, date: datetime, progress: float) -> None:
        wanted = (
            self.sample.modules_at_start
            + (self.sample.modules_at_end - self.sample.modules_at_start) * progress
        )
        if len(self.modules) < wanted:
            module = self._new_module(migrated=self._migrated_share(progress) > 0.4)
            self._commit(MAIN, (self.tip,), self._moment(date), f"Add {module.name}", self._texts(module))
            return
        free = self._free()
        touched = self._migrate(free, progress)
        message = f"Move {touched[0].name} to the gateway" if touched else "Tidy up"
        touched = touched or [self._pick(free)]
        for module in touched:
            self._note(module)
        files: dict[str, str] = {}
        for module in touched:
            files |= self._texts(module)
        self._commit(MAIN, (self.tip,), self._moment(date), message, files)

    def _migrate(self, among: Sequence[_Module], progress: float) -> list[_Module]:
        """Migrate what is due by now, at most a few modules at once; the modules that changed."""
        sites = [site for module in self.modules for site in module.sites]
        due = round(self._migrated_share(progress) * len(sites)) - sum(site.migrated for site in sites)
        touched: list[_Module] = []
        candidates = [module for module in among if any(not site.migrated for site in module.sites)]
        while due > 0 and candidates and len(touched) < 6:
            module = candidates.pop(self._below(len(candidates)))
            for site in [site for site in module.sites if not site.migrated][:due]:
                site.migrated = True
                due -= 1
            touched.append(module)
        return touched

    def _migrated_share(self, progress: float) -> float:
        """From 0 to 1 in an S. Square roots are exact everywhere; exponentials are not."""
        distance = (progress - self.sample.centre) / (1.6 * self.sample.width)
        return 0.5 + 0.5 * distance / math.sqrt(1 + distance * distance)

    def _note(self, module: _Module) -> None:
        """Write a note somewhere in the module, or resolve one."""
        site = self._pick(module.sites)
        if site.note:
            site.note = ""
        elif self.dice.random() < 0.5:
            site.note, site.note_text = ("TODO", "FIXME")[self._below(2)], self._below(4)

    def _open_branch(self, day: int) -> None:
        free = self._free()
        if len(free) < 12:
            return
        chosen = [free.pop(self._below(len(free))) for _ in range(3)]
        topic = f"{chosen[0].name.replace('_', '-')}-{len(self.commits)}"
        lasts = 4 + self._below(9)
        commits = sorted({day + 1 + self._below(lasts - 1) for _ in range(3)})
        copies = [module.copy() for module in chosen]
        self.branches.append(
            _Branch(f"refs/heads/work/{topic}", topic, self.tip, copies, day + lasts, commits)
        )

    def _commit_on(self, branch: _Branch, when: datetime, progress: float) -> None:
        module = self._pick(branch.modules)
        if self._migrated_share(progress) > 0.1:
            for site in module.sites:
                site.migrated = True
        self._note(module)
        branch.tip = self._commit(
            branch.ref, (branch.tip,), when, f"Work on {module.name}", self._texts(module)
        )

    def _merge(self, branch: _Branch, when: datetime) -> None:
        self.branches.remove(branch)
        if self.commits[branch.tip - 1].ref != branch.ref:  # nothing was committed on it
            return
        files: dict[str, str] = {}
        for copy in branch.modules:
            module = next(module for module in self.modules if module.name == copy.name)
            module.sites = copy.sites
            files |= self._texts(module)
        self._commit(MAIN, (self.tip, branch.tip), when, f"Merge branch 'work/{branch.topic}'", files)

    def _rename_folder(self, date: datetime) -> None:
        old, self.folder = self.folder, self.sample.folder_renamed_to
        self._commit(
            MAIN, (self.tip,), self._moment(date), f"Rename {old} to {self.folder}", {}, ((old, self.folder),)
        )

    def _rename_module(self, date: datetime) -> None:
        module = self._pick(self._free())
        before, stem = self._paths(module), module.name.removesuffix("_service")
        module.name = stem if module.name != stem else f"{stem}_service"
        renames = tuple(zip(before, self._paths(module), strict=True))
        self._commit(
            MAIN, (self.tip,), self._moment(date), f"Rename {before[0]}", self._texts(module), renames
        )

    def _new_module(self, *, migrated: bool) -> _Module:
        number = len(self.modules)
        name = f"{NOUNS[number % len(NOUNS)]}_{VERBS[(number // len(NOUNS) + number) % len(VERBS)]}"
        first, count = self._below(len(VERBS)), 4 + self._below(5)
        noun = NOUNS[(number * 7) % len(NOUNS)]
        sites = [CallSite(VERBS[(first + step) % len(VERBS)], noun, migrated) for step in range(count)]
        module = _Module(name, sites)
        self._note(module)
        self.modules.append(module)
        return module

    def _free(self) -> list[_Module]:
        held = {module.name for branch in self.branches for module in branch.modules}
        return [module for module in self.modules if module.name not in held]

    def _paths(self, module: _Module) -> tuple[str, str]:
        language = self.sample.language
        return language.module_path(self.folder, module.name), language.test_path(self.folder, module.name)

    def _texts(self, module: _Module) -> dict[str, str]:
        path, test_path = self._paths(module)
        language = self.sample.language
        return {
            path: language.module(module.name, module.sites),
            test_path: language.test(module.name, module.sites),
        }

    def _moment(self, date: datetime) -> datetime:
        """A time on this working day, later than those given before."""
        self.tick += 1
        return date + timedelta(hours=7 + self.tick, minutes=self._below(60))

    def _commit(
        self,
        ref: str,
        parents: tuple[int, ...],
        when: datetime,
        message: str,
        files: dict[str, str],
        renames: tuple[tuple[str, str], ...] = (),
    ) -> int:
        mark = len(self.commits) + 1
        self.commits.append(Commit(mark, ref, parents, self._pick(_AUTHORS), when, message, files, renames))
        if ref == MAIN:
            self.tip = mark
        return mark

    def _below(self, limit: int) -> int:
        return int(self.dice.random() * limit)

    def _pick(self, among: Sequence[T]) -> T:
        return among[self._below(len(among))]
