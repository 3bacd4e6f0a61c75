"""A command uploads an index of a followed repository, and it answers: the whole system, worker included."""

import gzip
import random
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from tests.support.repositories import RepositoryBuilder, git
from tests.support.scip import document, index, occurrence, symbol
from tests.support.system import RunningSystem, lines

NAME = "uploads.test/app"


@pytest.fixture(scope="module")
def clone(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = RepositoryBuilder(tmp_path_factory.mktemp("uploads") / "app", bare=False)
    builder.commit(datetime(2026, 1, 1, tzinfo=UTC), {"a.py": "x = 1\n"})
    path = builder.build()
    system.cli("repo", "add", str(path), "--name", NAME, "--wait")
    return path


def written(folder: Path, *, large: bool = False) -> Path:
    """An index; a large one has more than a mebibyte, compressed."""
    text = random.Random(1).randbytes(1_500_000).hex() if large else "x = 1\n"
    made = document("a.py", [occurrence([0, 0, 1], symbol("x"), 1)], [symbol("x")], text=text)
    file = folder / "index.scip"
    file.write_bytes(index([made]))
    return file


@pytest.mark.parametrize("large", [False, True])
def test_a_command_uploads_an_index_and_follows_it_until_it_answers(
    system: RunningSystem, clone: Path, tmp_path: Path, large: bool
) -> None:
    file = written(tmp_path, large=large)
    commit = git(clone, "rev-parse", "HEAD").decode().strip()
    done = system.cli(
        "upload", str(file), "--repo", NAME, "--commit", commit, "--part-mib", "1", "--wait", "--json"
    )
    told = orjson.loads(done.stdout)
    assert (told["state"], told["visible"]) == ("COMPLETED", True)
    assert told["statistics"] == {"documents": 1, "symbols": 1, "occurrences": 1}
    with system.client() as client:
        page = client.get(told["url"], headers={"accept": "text/html"})
    assert page.status_code == 200
    assert ("all of 2 parts arrived" in page.text) is large
    assert "uploading, KiB" in done.stderr.decode()


def test_a_command_says_why_an_index_failed_or_was_refused(
    system: RunningSystem, clone: Path, tmp_path: Path
) -> None:
    commit = git(clone, "rev-parse", "HEAD").decode().strip()
    file = tmp_path / "index.scip.gz"
    made = index([document("a.py", [occurrence([5, 0, 4, 0])])])
    file.write_bytes(gzip.compress(made))
    failed = system.cli("upload", str(file), "--repo", NAME, "--commit", commit, "--wait", expect=1)
    (said, address) = lines(failed)
    assert "a.py: the range [5, 0, 4, 0] ends before it begins (byte" in said
    assert address.startswith(system.url)
    unknown = system.cli("upload", str(file), "--repo", "no.such/repo", "--commit", commit, expect=1)
    assert b"no repository 'no.such/repo' is followed" in unknown.stderr
    file.write_bytes(b"no index")
    assert (
        b"is no SCIP index"
        in system.cli("upload", str(file), "--repo", NAME, "--commit", commit, expect=1).stderr
    )
