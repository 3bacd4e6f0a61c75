"""Large things beside the log: content-addressed, in a folder or any store that fsspec reaches (DESIGN section 4)."""

import contextlib
import hashlib
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Final, cast

import fsspec
import msgspec

from schemas.errors import MillstreamError

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

    def put(self, content: bytes | BinaryIO) -> BlobRef:
        """Keep the bytes under their SHA-256. The same bytes again cost no second copy."""
        if isinstance(content, bytes):
            digest, size_bytes = hashlib.sha256(content).hexdigest(), len(content)
            self._store(digest, iter([content]))
            return BlobRef(self._uri(digest), size_bytes, digest)
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
            hashed, size_bytes = hashlib.sha256(), 0
            while chunk := content.read(_CHUNK_BYTES):
                hashed.update(chunk)
                size_bytes += len(chunk)
                spool.write(chunk)
            spool.seek(0)
            digest = hashed.hexdigest()
            self._store(digest, iter(lambda: spool.read(_CHUNK_BYTES), b""))
        return BlobRef(self._uri(digest), size_bytes, digest)

    @contextmanager
    def open(self, ref: BlobRef) -> Iterator[IO[bytes]]:
        """A stream of the blob's bytes, unchecked: use ``read`` where they have to be the ones that were put.

        Raises BlobMissing.
        """
        try:
            stream = self._filesystem.open(self._path(ref.sha256), "rb")
        except FileNotFoundError as error:
            raise BlobMissing(
                f"{ref.uri} is not there", remedy="upload it again, or restore the store from its backup"
            ) from error
        with contextlib.closing(stream):
            yield cast("IO[bytes]", stream)

    def read(self, ref: BlobRef) -> bytes:
        """All bytes, compared with size and SHA-256. Raises BlobMissing, BlobCorrupt."""
        with self.open(ref) as stream:
            content = stream.read()
        if len(content) != ref.size_bytes or hashlib.sha256(content).hexdigest() != ref.sha256:
            raise BlobCorrupt(
                f"{ref.uri} does not hold what was put there", remedy="restore the store from its backup"
            )
        return content

    def _store(self, digest: str, chunks: Iterator[bytes]) -> None:
        path = self._path(digest)
        if self._filesystem.exists(path):
            return
        parent, _, name = path.rpartition("/")
        self._filesystem.makedirs(parent, exist_ok=True)
        # Under a name of its own first: a reader never meets half a blob, two writers never mix theirs.
        draft = f"{parent}/.{name}.{secrets.token_hex(6)}"
        with self._filesystem.open(draft, "wb") as target:
            for chunk in chunks:
                target.write(chunk)
        self._filesystem.mv(draft, path)

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

    def _uri(self, digest: str) -> str:
        return str(self._filesystem.unstrip_protocol(self._path(digest)))
