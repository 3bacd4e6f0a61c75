"""Small repositories for agents to count."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.repositories import RepositoryBuilder


def make_repository(folder: Path, name: str, matches: int) -> Path:
    """Two years old; ``matches`` lines with the word needle, and one more a day ago."""
    builder = RepositoryBuilder(folder / name)
    now = datetime.now(UTC)
    builder.commit(now - timedelta(days=700), {"a.txt": f"needle of {name}\n" * matches})
    builder.commit(now - timedelta(days=1), {"b.txt": "needle\n"})
    return builder.build()
