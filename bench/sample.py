"""A generated repository of nine years, for runs without a repository at hand. Deterministic."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.repositories import Content, RepositoryBuilder, git

_START = datetime(2017, 1, 1, tzinfo=UTC)
_DAYS = 9 * 365
_FILES = 400
_COMMITS = 1500
_LINES = (
    "import logging",
    "def handle(self, request):",
    "    return self.store.get(key)",
    "    # TODO: handle the empty case",
    "    # FIXME: wrong for large inputs",
    "    logger.info('done %s', value)",
    "    raise ValueError(f'unexpected {value}')",
    "    for item in items:",
    "        total += item.size",
    "    assert total >= 0",
    "class Handler(Base):",
    "    \"\"\"Deprecated, use the other one.\"\"\"",
    "",
)  # fmt: skip


def sample_repository(path: Path) -> Path:
    """400 files of some 150 lines, 1,500 commits that each change one to six of them."""
    chance = random.Random(7)
    files = {f"package{number % 23}/module_{number}.py": _lines(chance, 150) for number in range(_FILES)}
    builder = RepositoryBuilder(path)
    builder.commit(_START, _contents(files, files))
    names = sorted(files)
    for number in range(1, _COMMITS):
        changed = chance.sample(names, chance.randint(1, 6))
        for name in changed:
            at = chance.randrange(len(files[name]))
            files[name][at : at + 5] = _lines(chance, chance.randint(1, 10))
        builder.commit(_START + timedelta(days=_DAYS * number / _COMMITS), _contents(files, changed))
    builder.build()
    git(path, "repack", "-a", "-d", "-q")
    return path


def _lines(chance: random.Random, count: int) -> list[str]:
    return [f"{chance.choice(_LINES)}  # {chance.randrange(10_000)}" for _ in range(count)]


def _contents(files: dict[str, list[str]], names: object) -> dict[str, Content]:
    wanted = names if isinstance(names, list) else list(files)
    return {name: "\n".join(files[name]) + "\n" for name in wanted}
