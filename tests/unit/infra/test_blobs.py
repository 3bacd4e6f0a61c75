"""The blob store: by content, whole or not at all."""

import hashlib
import io
from pathlib import Path

import pytest

from infra.blobs import BlobCorrupt, BlobMissing, BlobRef, BlobStore, BlobStoreError


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs") if request.param == "folder" else f"memory://{tmp_path.name}")


def test_what_is_put_is_read(store: BlobStore) -> None:
    ref = store.put(b"content")
    assert (ref.size_bytes, ref.sha256) == (7, hashlib.sha256(b"content").hexdigest())
    assert store.read(ref) == b"content"
    with store.open(ref) as stream:
        assert stream.read(3) == b"con"


def test_streams_and_bytes_are_one(store: BlobStore) -> None:
    content = bytes(range(256)) * 40_000
    assert store.put(io.BytesIO(content)) == store.put(content)
    assert store.read(store.put(b"")) == b""


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    store.put(b"same")
    store.put(io.BytesIO(b"same"))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_what_is_not_there(store: BlobStore) -> None:
    with pytest.raises(BlobMissing):
        store.read(BlobRef("x", 1, "0" * 64))


def test_what_was_changed_is_noticed(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    ref = store.put(b"good")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(b"evil")
    with pytest.raises(BlobCorrupt):
        store.read(ref)


def test_a_store_that_cannot_be() -> None:
    with pytest.raises(BlobStoreError) as caught:
        BlobStore("nosuchprotocol://x")
    assert "MILLSTREAM_BLOB_URL" in caught.value.remedy
