"""The blob store: by content, whole or not at all."""

import hashlib
import io
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra import into_place
from infra.aside import Aside
from infra.blobs import BlobCorrupt, BlobMissing, BlobRef, BlobStore, BlobStoreError
from infra.drafts import Drafts

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


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


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """The system refuses to write more to a file, as it does when the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_write_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    store, content = BlobStore(str(tmp_path)), bytes(4 << 20)
    piece = Drafts(store).begin("1", 0)
    with no_file_above(1 << 20):
        with pytest.raises(OSError, match="too large"):
            store.put(content)
        with pytest.raises(OSError, match="too large"):
            piece.write(content)
        piece.drop()
    assert files_below(tmp_path) == []
    assert store.read(store.put(content)) == content


def test_what_a_killed_writer_left_is_swept_and_nothing_else(store: BlobStore) -> None:
    filesystem, _ = store.beside()
    ref = store.put(b"content")
    left = into_place.unfinished(store.path_of(ref.sha256))
    filesystem.pipe_file(left, b"cont")
    set_aside = store.put(b"aside")
    Aside(store).set(set_aside.sha256, AT)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert store.sweep(soon - timedelta(hours=1)) == 0, "it may still be written"
    assert filesystem.exists(left)
    assert store.sweep(soon) == 1
    assert not filesystem.exists(left)
    assert store.read(ref) == b"content"
    assert store.read(set_aside) == b"aside"


def test_a_blob_of_another_size_is_not_taken_for_the_one_that_is_put(store: BlobStore) -> None:
    filesystem, _ = store.beside()
    ref = store.put(b"content")
    assert store.exists(ref.sha256, ref.size_bytes)
    filesystem.pipe_file(store.path_of(ref.sha256), b"con")
    assert store.exists(ref.sha256)
    assert not store.exists(ref.sha256, ref.size_bytes)
    assert store.put(b"content") == ref
    assert store.read(ref) == b"content"


def test_file_and_folder_are_on_the_disk_before_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    store = BlobStore(str(tmp_path))
    path = Path(store.path_of(store.put(b"content").sha256))
    assert synced == [one.stat().st_ino for one in (tmp_path, path, path.parent)]


def test_a_store_that_cannot_be() -> None:
    with pytest.raises(BlobStoreError) as caught:
        BlobStore("nosuchprotocol://x")
    assert "MILLSTREAM_BLOB_URL" in caught.value.remedy


def test_what_is_set_aside_is_still_read_and_comes_back(store: BlobStore) -> None:
    aside, ref = Aside(store), store.put(b"content")
    aside.set(ref.sha256, AT)
    aside.set("0" * 64, AT)
    assert aside.all() == {ref.sha256: AT}
    assert not store.exists(ref.sha256)
    assert store.read(ref) == b"content"
    aside.bring_back(ref.sha256)
    assert aside.all() == {}
    assert store.exists(ref.sha256)
    assert store.read(ref) == b"content"


def test_what_is_removed_is_gone_but_not_what_was_put_again(store: BlobStore) -> None:
    aside, ref = Aside(store), store.put(b"content")
    aside.set(ref.sha256, AT)
    assert store.put(b"content") == ref
    aside.remove(ref.sha256, AT)
    assert aside.all() == {}
    assert store.read(ref) == b"content"
    aside.set(ref.sha256, AT)
    aside.remove(ref.sha256, AT)
    with pytest.raises(BlobMissing):
        store.read(ref)


def test_only_what_was_seen_is_removed(store: BlobStore) -> None:
    """Another process may have set it aside again meanwhile."""
    aside, ref = Aside(store), store.put(b"content")
    aside.set(ref.sha256, AT)
    store.put(b"content")
    later = AT + timedelta(hours=1)
    aside.set(ref.sha256, later)
    aside.remove(ref.sha256, AT)
    assert aside.all() == {ref.sha256: later}
    assert store.read(ref) == b"content"
