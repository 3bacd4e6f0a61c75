"""The demo's own indexer: what it says of a file stands there."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from api.demo import indexer, indexes
from api.demo.choices import inspect
from api.demo.indexer import index_of
from api.demo.samples import SAMPLES, commit_one_call, files_at, make_samples
from infra.blobs import BlobStore
from streams.uploads.processing import process_scip
from tests.support.scip import parsed
from tests.unit.demo.repositories import make_repository
from tests.unit.demo.test_samples import NOVEMBER, OCTOBER, git

TEXT = '''"""Ünïcode, and orders."""

import os.path as paths
from shop import gateway


async def load(ä_id: str, *, fast: bool) -> str:
    """Load one."""
    été = "ü"; answer = gateway.call(été, ä_id, missing)
    return check(answer)


def check(answer: str) -> str:
    return paths.join(answer)
'''


def said(path: str, text: str) -> Any:
    """The document of a file, as protobuf reads it."""
    made = parsed("Index", index_of({path: text, "go.mod": "module x"}, package="shop", version="1.0"))
    (document,) = made.documents
    assert document.relative_path == path
    return document


def test_every_name_stands_where_the_index_says() -> None:
    document = said("shop/order.py", TEXT)
    lines = TEXT.encode().split(b"\n")
    own = "millstream-demo-python python shop 1.0 `shop.order`/"
    found = [
        (lines[line][first:last].decode(), one.symbol.removeprefix(own), one.symbol_roles)
        for one in document.occurrences
        for line, first, last in [one.range]
    ]
    paths, call = (
        "millstream-demo-python python os . `os.path`/__init__:",
        "millstream-demo-python python shop . `shop`/",
    )
    assert found == [
        ("", "__init__:", 1),
        ("os.path", paths, 2),
        ("shop", f"{call}__init__:", 8),
        ("gateway", f"{call}gateway.", 2),
        ("load", "load().", 1),
        ("ä_id", "local 0", 1),
        ("fast", "local 1", 1),
        ("été", "local 2", 1),
        ("answer", "local 3", 1),
        ("gateway", f"{call}gateway.", 8),
        ("été", "local 2", 8),
        ("ä_id", "local 0", 8),
        ("check", "check().", 8),
        ("answer", "local 3", 8),
        ("check", "check().", 1),
        ("answer", "local 4", 1),
        ("paths", paths, 8),
        ("answer", "local 4", 8),
    ]
    about = {one.symbol.removeprefix(own): list(one.documentation) for one in document.symbols}
    assert about["load()."] == ["Load one."]
    assert set(about) == {symbol for _, symbol, roles in found if roles & 1}
    assert document.position_encoding == 1


def test_index_of_a_sample_at_its_head_is_read_whole(tmp_path: Path) -> None:
    (made,) = make_samples(tmp_path, OCTOBER, SAMPLES[:1])
    head = commit_one_call(made.path)
    index = indexes.choose([], inspect(made.path, name=made.name))
    assert index is not None
    assert (index.commit, index.head, index.root) == (head, head, "")
    files = {path: text for path, text in files_at(made.path, head).items() if path.endswith(".py")}
    told = parsed("Index", gzip.decompress(index.content))
    assert {one.relative_path for one in told.documents} == set(files)
    defined = sum(text.count("\ndef ") for text in files.values())
    assert defined == sum(one.symbol.endswith("().") for each in told.documents for one in each.symbols) > 500
    read = process_scip(io.BytesIO(index.content), BlobStore(str(tmp_path / "blobs")))
    assert read.facts.documents == len(files) > 100
    assert (read.facts.tool_name, read.facts.tool_version) == (indexer.NAME, indexer.VERSION)


def test_what_has_no_python_has_no_index(tmp_path: Path) -> None:
    (made,) = make_samples(tmp_path, OCTOBER, SAMPLES[1:2])
    assert indexes.choose([], inspect(made.path, name=made.name)) is None
    assert indexes.choose([], None) is None
    other = make_repository(tmp_path / "other", [(OCTOBER, {"a.py": b"x = 1\n"})])
    assert indexes.choose([inspect(other)], None) is None, "nobody has made an index of it"


def test_where_this_projects_commit_is_its_own_index_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_repository(
        tmp_path / "here", [(OCTOBER, {"a.py": b"x = 1\n"}), (NOVEMBER, {"a.py": b"x = 2\n"})]
    )
    older, newer = (git(path / ".git", "rev-parse", name) for name in ("HEAD^", "HEAD"))
    chosen = inspect(path)
    monkeypatch.setattr(indexes, "OWN_COMMIT", older)
    index = indexes.choose([chosen], None)
    assert index is not None
    assert (index.repository, index.commit, index.head) == (chosen.name, older, newer)
    assert index.content == indexes.OWN_FILE.read_bytes()
    git(path / ".git", "update-ref", "HEAD", older)
    monkeypatch.setattr(indexes, "OWN_COMMIT", newer)
    assert indexes.choose([chosen], None) is None, "HEAD does not go on from there"


def test_index_of_this_project_is_what_scip_python_has_made(tmp_path: Path) -> None:
    raw = gzip.decompress(indexes.OWN_FILE.read_bytes())
    assert indexes.OWN_FILE.stat().st_size < 300_000
    made = parsed("Index", raw)
    name, version = indexes.OWN_INDEXER
    assert (made.metadata.tool_info.name, made.metadata.tool_info.version) == (name, version)
    assert made.metadata.project_root == "file:///millstream"
    for place in (b"/root", b"/work/", b"/tmp/", b"/home/"):
        assert place not in raw
    paths = {one.relative_path for one in made.documents}
    assert "schemas/envelope.py" in paths
    assert all(path.startswith("schemas/") for path in paths)
    read = process_scip(io.BytesIO(raw), BlobStore(str(tmp_path)))
    assert read.facts.documents == len(paths) > 10
