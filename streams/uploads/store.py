"""The document store: where the documents of an index are, so that an answer reads only what it needs.

A *pack* is a blob of compressed documents, one after the other. The *manifest* is a blob that says which document is where: blocks
of lines sorted by path, then a directory of the blocks, the length of the directory, and a mark. To find a path one reads the
directory and one block. Documents are kept under the SHA-256 of what they say, so an index that repeats most of an earlier one
refers to that one's packs.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, Protocol

import msgspec

from infra.blobs import BlobCorrupt, BlobRef
from streams.uploads.symbols import Package

_PACK_BYTES: Final = 8 << 20
_BLOCK_ENTRIES: Final = 512
_LEVEL: Final = 1
_MARK: Final = b"millstream-documents-1"
_LENGTH_BYTES: Final = 8


class Blobs(Protocol):
    """What is needed of ``infra.blobs.BlobStore``."""

    def put(self, content: bytes) -> BlobRef: ...
    def read_range(self, ref: BlobRef, offset: int, size_bytes: int) -> bytes: ...


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a document is: ``size_bytes`` from ``offset`` of a pack. ``sha256`` is that of what it says."""

    pack: int
    offset: int
    size_bytes: int
    sha256: str


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One line of a block."""

    path: str
    place: Place


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Where the lines from ``first_path`` on are."""

    first_path: str
    offset: int
    size_bytes: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an index says of itself, and how much is in it."""

    tool_name: str = ""
    tool_version: str = ""
    tool_arguments: Sequence[str] = ()
    project_root: str = ""
    text_document_encoding: str = ""
    protocol_version: int = 0
    documents: int = 0
    symbols: int = 0
    occurrences: int = 0
    raw_bytes: int = 0


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a manifest. ``external`` are symbols that no document defines, in parts of some size."""

    facts: Facts
    packs: Sequence[BlobRef]
    blocks: Sequence[Block]
    external: Sequence[Place]
    provided: Sequence[Package]
    referenced: Sequence[Package]


_encode: Final = msgspec.json.Encoder().encode


class Packs:
    """Writes documents into packs; what was kept before, here or in ``known``, is not written again."""

    def __init__(self, blobs: Blobs, known: "Manifest | None" = None) -> None:
        self._blobs = blobs
        self._filling = bytearray()
        self._current = 0
        self._packs: list[BlobRef | None] = []
        """None: the one that is being filled."""
        self._places: dict[bytes, Place] = {}
        self._known: dict[bytes, tuple[BlobRef, Place]] = {}
        if known is not None:
            packs = known.directory.packs
            for place in chain((one.place for one in known.entries()), known.directory.external):
                self._known[bytes.fromhex(place.sha256)] = packs[place.pack], place
        self._numbers: dict[str, int] = {}
        self.reused = 0
        """Documents that stood in ``known``."""

    def add(self, payload: bytes) -> Place:
        """Keep it; where it is."""
        digest = hashlib.sha256(payload).digest()
        place = self._places.get(digest)
        if place is None:
            place = self._places[digest] = self._reuse(digest) or self._write(digest, payload)
        return place

    def read(self, place: Place) -> bytes:
        """What was kept there. Raises BlobMissing, BlobCorrupt."""
        pack = self._packs[place.pack]
        if pack is None:
            kept = bytes(self._filling[place.offset : place.offset + place.size_bytes])
        else:
            kept = self._blobs.read_range(pack, place.offset, place.size_bytes)
        return unpacked(kept, place)

    def finish(self) -> list[BlobRef]:
        """Write what is left; all packs, by number."""
        self._flush()
        return [pack for pack in self._packs if pack is not None]

    def _reuse(self, digest: bytes) -> Place | None:
        found = self._known.get(digest)
        if found is None:
            return None
        pack, place = found
        number = self._numbers.get(pack.sha256)
        if number is None:
            number = self._numbers[pack.sha256] = self._number_of(pack)
        self.reused += 1
        return msgspec.structs.replace(place, pack=number)

    def _number_of(self, pack: BlobRef | None) -> int:
        self._packs.append(pack)
        return len(self._packs) - 1

    def _write(self, digest: bytes, payload: bytes) -> Place:
        kept = zlib.compress(payload, _LEVEL)
        if len(self._filling) + len(kept) > _PACK_BYTES:
            self._flush()
        if not self._filling:
            self._current = self._number_of(None)
        place = Place(self._current, len(self._filling), len(kept), digest.hex())
        self._filling += kept
        return place

    def _flush(self) -> None:
        if self._filling:
            self._packs[self._current] = self._blobs.put(bytes(self._filling))
            self._filling = bytearray()


class Manifest:
    """A manifest as it is read: the directory at once, blocks when they are needed."""

    def __init__(self, blobs: Blobs, ref: BlobRef) -> None:
        """Raises BlobMissing, BlobCorrupt."""
        self._blobs = blobs
        self._ref = ref
        end = len(_MARK) + _LENGTH_BYTES
        tail = blobs.read_range(ref, max(0, ref.size_bytes - end), end)
        if not tail.endswith(_MARK) or len(tail) != end:
            raise BlobCorrupt(f"{ref.uri} is no manifest", remedy="Upload the index again.")
        size = int.from_bytes(tail[:_LENGTH_BYTES], "big")
        directory = blobs.read_range(ref, ref.size_bytes - end - size, size)
        try:
            self.directory = msgspec.json.decode(directory, type=Directory)
        except msgspec.MsgspecError as error:
            raise BlobCorrupt(
                f"{ref.uri} is no manifest: {error}", remedy="Upload the index again."
            ) from error

    def entries(self) -> Iterator[Entry]:
        """All documents, by path."""
        for block in self.directory.blocks:
            yield from self._lines(block)

    def find(self, path: str) -> Place | None:
        """Where the document of this path is; None when the index has none."""
        inside = [block for block in self.directory.blocks if block.first_path <= path]
        lines = self._lines(inside[-1]) if inside else ()
        return next((entry.place for entry in lines if entry.path == path), None)

    def read(self, place: Place) -> bytes:
        """The document there, as bytes of a ``scip.Document`` without path. Raises BlobMissing, BlobCorrupt."""
        pack = self.directory.packs[place.pack]
        return unpacked(self._blobs.read_range(pack, place.offset, place.size_bytes), place)

    def _lines(self, block: Block) -> list[Entry]:
        return msgspec.json.decode(
            self._blobs.read_range(self._ref, block.offset, block.size_bytes), type=list[Entry]
        )


def write_manifest(
    blobs: Blobs,
    facts: Facts,
    packs: Sequence[BlobRef],
    places: Mapping[str, Place],
    external: Sequence[Place],
    packages: tuple[Iterable[Package], Iterable[Package]],
) -> BlobRef:
    """Keep the manifest; ``packages`` are those provided and those referenced. The same content is the same blob."""
    content = bytearray()
    blocks: list[Block] = []
    paths = sorted(places)
    for start in range(0, len(paths), _BLOCK_ENTRIES):
        lines = _encode([Entry(path, places[path]) for path in paths[start : start + _BLOCK_ENTRIES]])
        blocks.append(Block(paths[start], len(content), len(lines)))
        content += lines
    provided, referenced = packages
    directory = _encode(
        Directory(
            facts=facts,
            packs=packs,
            blocks=blocks,
            external=external,
            provided=sorted(provided),
            referenced=sorted(referenced),
        )
    )
    content += directory + len(directory).to_bytes(_LENGTH_BYTES, "big") + _MARK
    return blobs.put(bytes(content))


def unpacked(kept: bytes, place: Place) -> bytes:
    """A document out of its pack. Raises BlobCorrupt."""
    try:
        payload = zlib.decompress(kept)
    except zlib.error as error:
        raise BlobCorrupt(f"a document is broken: {error}", remedy="Upload the index again.") from error
    if hashlib.sha256(payload).hexdigest() != place.sha256:
        raise BlobCorrupt("a document is not what was kept", remedy="Upload the index again.")
    return payload
