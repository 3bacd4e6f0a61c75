"""Large things beside the log: content-addressed, in a folder or any store that fsspec reaches (DESIGN section 4)."""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any, BinaryIO, Final, cast

import fsspec
import msgspec

from infra import into_place
from schemas.errors import MillstreamError

ASIDE: Final = "aside"
"""The folder of what is about to be removed: ``infra.aside``."""
_CHUNK_BYTES: Final = 1 << 20
_IN_MEMORY_BYTES: Final = 8 << 20


class BlobRef(msgspec.Struct, frozen=True):
    """What an event carries instead of the thing itself."""

    uri: str
    size_bytes: int
    sha256: str


class BlobStoreError(MillstreamError):
    """The blob store could not do what was asked."""


class BlobMissing(BlobStoreError):
    """No blob is where the event says."""


class BlobCorrupt(BlobStoreError):
    """A blob's bytes are not those that were put."""


class BlobStore:
    """``url`` is a folder or an fsspec URL (``s3://bucket/prefix``). Threads may share a store."""

    def __init__(self, url: str) -> None:
        try:
            filesystem, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BlobStoreError(
                f"{url} is no store that can be reached: {error}", remedy="correct MILLSTREAM_BLOB_URL"
            ) from error
        self._filesystem: Any = filesystem
        self._root = str(root).rstrip("/")

    def beside(self) -> tuple[Any, str]:
        """The file system and the root, for what is kept beside the blobs (``infra.drafts``)."""
        return self._filesystem, self._root

    def put(self, content: bytes | BinaryIO) -> BlobRef:
        """Keep the bytes under their SHA-256. The same bytes again cost no second copy."""
        if isinstance(content, bytes):
            digest, size_bytes = hashlib.sha256(content).hexdigest(), len(content)
            self._store(digest, size_bytes, iter([content]))
            return BlobRef(self._uri(digest), size_bytes, digest)
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
            hashed, size_bytes = hashlib.sha256(), 0
            while chunk := content.read(_CHUNK_BYTES):
                hashed.update(chunk)
                size_bytes += len(chunk)
                spool.write(chunk)
            spool.seek(0)
            digest = hashed.hexdigest()
            self._store(digest, size_bytes, iter(lambda: spool.read(_CHUNK_BYTES), b""))
        return BlobRef(self._uri(digest), size_bytes, digest)

    @contextmanager
    def open(self, ref: BlobRef) -> Iterator[IO[bytes]]:
        """A stream of the blob's bytes, unchecked: use ``read`` where they have to be the ones that were put.

        What is set aside is there too. Raises BlobMissing.
        """
        stream = self._opened(ref.sha256)
        if stream is None:
            raise BlobMissing(
                f"{ref.uri} is not there", remedy="upload it again, or restore the store from its backup"
            )
        with contextlib.closing(stream):
            yield stream

    def read(self, ref: BlobRef) -> bytes:
        """All bytes, compared with size and SHA-256. Raises BlobMissing, BlobCorrupt."""
        with self.open(ref) as stream:
            content = stream.read()
        if len(content) != ref.size_bytes or hashlib.sha256(content).hexdigest() != ref.sha256:
            raise BlobCorrupt(
                f"{ref.uri} does not hold what was put there", remedy="restore the store from its backup"
            )
        return content

    def read_range(self, ref: BlobRef, offset: int, size_bytes: int) -> bytes:
        """So many bytes from ``offset`` on, unchecked. Raises BlobMissing, BlobCorrupt when there are fewer."""
        with self.open(ref) as stream:
            stream.seek(offset)
            content = stream.read(size_bytes)
        if len(content) != size_bytes:
            raise BlobCorrupt(f"{ref.uri} is too short", remedy="restore the store from its backup")
        return content

    def exists(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Whether it is there, and not set aside; with ``size_bytes``: whether it is as large as it has to be."""
        try:
            found = self._filesystem.info(self.path_of(sha256))["size"]
        except FileNotFoundError:
            return False
        return size_bytes is None or found == size_bytes

    def sweep(self, before: datetime) -> int:
        """Remove what writers that were killed before then have left half written; how many files it was."""
        left = list(into_place.left_behind(self._filesystem, self._root, before))
        for path in left:
            with contextlib.suppress(FileNotFoundError):
                self._filesystem.rm_file(path)
        return len(left)

    def _opened(self, digest: str) -> IO[bytes] | None:
        for _ in range(2):  # it may be brought back while it is looked for where it was set aside
            found = self._open_path(self.path_of(digest))
            if found is not None:
                return found
            for path in self._set_aside(digest):
                found = self._open_path(path)
                if found is not None:
                    return found
        return None

    def _open_path(self, path: str) -> IO[bytes] | None:
        try:
            return cast("IO[bytes]", self._filesystem.open(path, "rb"))
        except FileNotFoundError:
            return None

    def _set_aside(self, digest: str) -> list[str]:
        try:
            found = self._filesystem.ls(f"{self._root}/{ASIDE}/{digest}", detail=False, refresh=True)
        except FileNotFoundError:
            return []
        return [str(one) for one in found]

    def _store(self, digest: str, size_bytes: int, chunks: Iterator[bytes]) -> None:
        if self.exists(digest, size_bytes):
            return
        path = self.path_of(digest)
        into_place.make_folder(self._filesystem, path.rpartition("/")[0])
        draft = into_place.unfinished(path)
        target = self._filesystem.open(draft, "wb")
        try:
            for chunk in chunks:
                target.write(chunk)
            into_place.keep(self._filesystem, target, draft, path)
        except BaseException:
            into_place.drop(self._filesystem, target, draft)
            raise

    def path_of(self, digest: str) -> str:
        """Where the blob of this SHA-256 lies."""
        return f"{self._root}/{digest[:2]}/{digest}"

    def _uri(self, digest: str) -> str:
        return str(self._filesystem.unstrip_protocol(self.path_of(digest)))
