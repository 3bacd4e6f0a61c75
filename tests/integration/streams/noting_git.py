"""A git that takes its time and notes when it ran, where and for whom."""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Use(NamedTuple):
    """One run of git in a repository, by one counting process."""

    began: float
    ended: float
    user: int


QUICK_S = 0.15
"""How long each run takes more than git does."""


def noting_git(within: Path) -> tuple[Path, Path]:
    """(a folder for PATH with a git that takes its time, the file in which it notes when it ran where)."""
    real = shutil.which("git")
    folder, notes = within / "bin", within / "notes"
    folder.mkdir()
    notes.touch()
    script = folder / "git"
    script.write_text(
        "#!/bin/sh\n"
        f'began=$(date +%s.%N)\nsleep $(cat {folder / "pace"})\n{real} "$@"\ncode=$?\n'
        f'echo "$began $(date +%s.%N) $PPID $2" >> {notes}\nexit $code\n'
    )
    script.chmod(0o755)
    take(folder, QUICK_S)
    return folder, notes


def take(folder: Path, seconds: float) -> None:
    """From now on each run of this git begins with such a pause."""
    draft = folder / "pace.new"
    draft.write_text(str(seconds))
    draft.replace(folder / "pace")


def uses_of(notes: Path) -> dict[str, list[Use]]:
    found: dict[str, list[Use]] = defaultdict(list)
    for line in notes.read_text().splitlines():
        began, ended, user, repository = line.split(" ", 3)
        found[repository].append(Use(float(began), float(ended), int(user)))
    return found


def overlaps(uses: Sequence[Use]) -> list[tuple[Use, Use]]:
    """Pairs of different processes that were in one repository at the same time."""
    return [
        (one, other)
        for one in uses
        for other in uses
        if one.user < other.user and one.began < other.ended and other.began < one.ended
    ]
