"""From an uploaded index to its document store. Blocks; for a process of its own."""

from typing import IO, Final

import msgspec

from infra.blobs import BlobRef
from streams.uploads.documents import read_document
from streams.uploads.errors import MalformedIndex
from streams.uploads.raw import RawIndex
from streams.uploads.scip import At, Limits, Metadata, read_index
from streams.uploads.store import Blobs, Facts, Manifest, Packs, Place, write_manifest
from streams.uploads.symbols import Symbols
from streams.uploads.wire import encoded_varint

_EXTERNAL_BYTES: Final = 1 << 20
_EXTERNAL_SYMBOL: Final = b"\x1a"
"""The tag of field 3: outside any document a symbol is kept as in one."""


class Indexed(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and where it is kept. ``reused``: documents that an earlier index had too."""

    facts: Facts
    packages: int
    manifest: BlobRef
    reused: int


def process_scip(
    source: IO[bytes], blobs: Blobs, *, earlier: BlobRef | None = None, limits: Limits | None = None
) -> Indexed:
    """Read the index to its end and keep its documents. The same index gives the same blobs.

    ``earlier`` is the manifest of an index that has most of the same documents, perhaps.

    Raises MalformedIndex, BlobMissing, BlobCorrupt, and what the store raises.
    """
    limits = limits or Limits()
    index, symbols = RawIndex(source), Symbols()
    packs = Packs(blobs, Manifest(blobs, earlier) if earlier is not None else None)
    external = _External(packs)
    facts = Facts()
    places: dict[str, Place] = {}
    occurrences = informations = 0
    for item in read_index(index, symbols, limits):
        if isinstance(item, Metadata):
            facts = item.facts
            continue
        if not isinstance(item, At):
            external.add(item[1])
            informations += 1
            continue
        document = item.document
        before = places.get(document.path)
        if before is not None:
            kept = read_document(packs.read(before), 0, symbols)
            occurrences -= len(kept.occurrences)
            informations -= len(kept.symbols)
            document = document.merged(kept)
        elif len(places) >= limits.documents:
            raise MalformedIndex(
                "too-large",
                f"the index has more than {limits.documents:,} documents",
                byte_offset=item.offset,
            )
        payload = document.payload()
        if len(payload) > limits.document_bytes:
            raise MalformedIndex(
                "too-large",
                f"all that is said of it has more than {limits.document_bytes:,} bytes",
                byte_offset=item.offset,
                document=document.path,
            )
        places[document.path] = packs.add(payload)
        occurrences += len(document.occurrences)
        informations += len(document.symbols)
    facts = msgspec.structs.replace(
        facts,
        documents=len(places),
        symbols=informations,
        occurrences=occurrences,
        raw_bytes=index.offset,
    )
    rest = external.finish()
    manifest = write_manifest(
        blobs, facts, packs.finish(), places, rest, (symbols.provided, symbols.named - symbols.provided)
    )
    return Indexed(facts=facts, packages=len(symbols.named), manifest=manifest, reused=packs.reused)


class _External:
    """Symbols outside any document, gathered into parts that are kept as documents are."""

    def __init__(self, packs: Packs) -> None:
        self._packs = packs
        self._waiting = bytearray()
        self._places: list[Place] = []

    def add(self, information: bytes) -> None:
        self._waiting += _EXTERNAL_SYMBOL + encoded_varint(len(information)) + information
        if len(self._waiting) >= _EXTERNAL_BYTES:
            self._flush()

    def finish(self) -> list[Place]:
        self._flush()
        return self._places

    def _flush(self) -> None:
        if self._waiting:
            self._places.append(self._packs.add(bytes(self._waiting)))
            self._waiting = bytearray()
