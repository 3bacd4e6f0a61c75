"""Which SCIP index the demo uploads: scip-python's of this project where its commit is there, else one that is made of a sample at its HEAD.

The first is committed beside this module; ``data/README.md`` says how it was made.
"""

import gzip
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.demo import indexer
from api.demo.choices import Chosen
from api.demo.samples import files_at, head_of

OWN_FILE: Final = Path(__file__).with_name("data") / "schemas.scip.gz"
OWN_COMMIT: Final = "3bc4d58b9573833b599f66da112b35da5f8e45df"
"""The commit of this project that was indexed."""
OWN_ROOT: Final = ""
OWN_INDEXER: Final = ("scip-python", "0.6.6")
_PROJECT_FILE: Final = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Index:
    """An index, compressed, of ``repository`` (its name) at ``commit``; ``head`` is where its branch stands."""

    repository: str
    commit: str
    head: str
    root: str
    indexer: tuple[str, str]
    """Name and version."""
    content: bytes
    made: str
    """How it was made, in words."""


def choose(repositories: Sequence[Chosen], sample: Chosen | None) -> Index | None:
    """The index to upload; None where there is neither this project nor a sample in Python. Raises SampleFailed."""
    for one in repositories:
        if one.path is not None and (head := _head_above(one.path, OWN_COMMIT)) is not None:
            return Index(
                repository=one.name,
                commit=OWN_COMMIT,
                head=head,
                root=OWN_ROOT,
                indexer=OWN_INDEXER,
                content=OWN_FILE.read_bytes(),
                made="made by scip-python of this project",
            )
    return None if sample is None or sample.path is None else _of_sample(sample.name, sample.path)


def _of_sample(name: str, path: Path) -> Index | None:
    head = head_of(path)
    files = files_at(path, head)
    if _PROJECT_FILE not in files:
        return None
    project = tomllib.loads(files[_PROJECT_FILE])["project"]
    raw = indexer.index_of(files, package=project["name"], version=project["version"])
    return Index(
        repository=name,
        commit=head,
        head=head,
        root="",
        indexer=(indexer.NAME, indexer.VERSION),
        content=gzip.compress(raw, mtime=0),
        made="made by the demo of the files at HEAD",
    )


def _head_above(path: Path, commit: str) -> str | None:
    """HEAD of this repository when it holds the commit and goes on from it."""
    git = ["git", "-C", str(path)]
    found = subprocess.run(
        [*git, "merge-base", "--is-ancestor", commit, "HEAD"], capture_output=True, check=False
    )
    if found.returncode != 0:
        return None
    done = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
