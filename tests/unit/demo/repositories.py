"""Small repositories for tests of the demo."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path


def git(path: Path, *arguments: str, when: datetime | None = None) -> str:
    """Run git as somebody, at a time; its output without the last line end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    stamp = f"{int((when or datetime(2026, 1, 1, tzinfo=UTC)).timestamp())} +0000"
    identity = {"NAME": "Ada Moss", "EMAIL": "ada@example.com", "DATE": stamp}
    named = {
        f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in identity.items()
    }
    environment = {**kept, **named, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(path), *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


def make_repository(
    path: Path, commits: list[tuple[datetime, dict[str, bytes]]], *, bare: bool = False
) -> Path:
    """A repository at ``path`` with one commit for each (time, files)."""
    path.mkdir(parents=True)
    work = path if not bare else path.with_name(f"{path.name}-work")
    work.mkdir(exist_ok=True)
    git(work, "init", "--quiet", "--initial-branch=main")
    for when, files in commits:
        for name, data in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(data)
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--allow-empty", "--message", "Change", when=when)
    if bare:
        git(path.parent, "clone", "--quiet", "--bare", str(work), str(path))
    return path
