"""Pieces that arrive one by one, in any order, by any process, and become one blob."""

from pathlib import Path

import pytest

from infra.blobs import BlobMissing, BlobStore
from infra.drafts import Drafts


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs") if request.param == "folder" else f"memory://{tmp_path.name}")


def write(drafts: Drafts, name: str, piece: int, content: bytes) -> None:
    target = drafts.begin(name, piece)
    target.write(content)
    target.keep()


def test_pieces_in_any_order_become_one_blob_for_another_process_too(store: BlobStore) -> None:
    mine, others = Drafts(store), Drafts(store)
    mine.note("17", b"what it is")
    write(mine, "17", 1, b"tail")
    assert others.pieces("17") == {1}
    write(others, "17", 0, b"wrong")
    write(others, "17", 0, b"head " * 1_000_000)
    assert mine.pieces("17") == {0, 1}
    assert others.noted("17") == b"what it is"
    ref = others.keep("17", [0, 1])
    assert store.read(ref) == b"head " * 1_000_000 + b"tail"
    assert others.names() == {"17"}
    mine.forget("17")
    mine.forget("17")
    assert others.names() == set()
    assert others.pieces("17") == set()
    assert others.noted("17") is None
    assert store.read(ref).endswith(b"tail")


def test_a_draft_is_begun_by_one_alone(store: BlobStore) -> None:
    mine, others = Drafts(store), Drafts(store)
    assert mine.claim("16", b"mine")
    assert not others.claim("16", b"theirs")
    assert others.noted("16") == b"mine"
    mine.note("16", b"more")
    assert not others.claim("16", b"theirs")
    assert others.noted("16") == b"more"
    mine.forget("16")
    assert others.claim("16", b"theirs")


def test_a_piece_that_breaks_off_is_not_there(store: BlobStore) -> None:
    drafts = Drafts(store)
    write(drafts, "18", 0, b"whole")
    for piece in (0, 1):
        target = drafts.begin("18", piece)
        target.write(b"ha")
        target.drop()
    assert drafts.pieces("18") == {0}
    assert store.read(drafts.keep("18", [0])) == b"whole"
    with pytest.raises(BlobMissing):
        drafts.keep("18", [0, 1])


def test_parts_of_a_blob_are_read_by_themselves(store: BlobStore) -> None:
    ref = store.put(b"0123456789")
    assert store.read_range(ref, 3, 4) == b"3456"
    with pytest.raises(Exception, match="too short"):
        store.read_range(ref, 8, 4)
