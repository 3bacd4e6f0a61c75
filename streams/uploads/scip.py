"""Reading a SCIP index: forwards, once, one document at a time (memory is that of the largest document).

Metadata come first and once. Documents of one path are merged, as the format asks.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from streams.uploads.documents import Document, Information, read_document, read_information
from streams.uploads.errors import MalformedIndex
from streams.uploads.raw import RawIndex
from streams.uploads.store import Facts
from streams.uploads.symbols import Symbols
from streams.uploads.wire import LENGTH, end_of, length, tag, varint

_METADATA: Final = 1
_DOCUMENTS: Final = 2
_EXTERNAL: Final = 3
_ENCODINGS: Final = {0: "", 1: "UTF8", 2: "UTF16"}


class Limits(msgspec.Struct, frozen=True):
    """What one index may have. A document is held whole while it is read."""

    document_bytes: int = 64 << 20
    raw_bytes: int = 64 << 30
    documents: int = 2_000_000


class Metadata(NamedTuple):
    """What stands first."""

    facts: Facts


class At(NamedTuple):
    """One document, and where it begins."""

    document: Document
    offset: int


Item = Metadata | At | Information


def read_index(index: RawIndex, symbols: Symbols, limits: Limits) -> Iterator[Item]:
    """Everything in the index, in its order; what it names is added to ``symbols``. Raises MalformedIndex."""
    seen_metadata = False
    while not index.at_end():
        start = index.offset
        number, wire_type = _tag(index.varint(), start)
        if number in (_METADATA, _DOCUMENTS, _EXTERNAL) and wire_type != LENGTH:
            raise MalformedIndex(
                "malformed-index", f"field {number} of the index has another type", byte_offset=start
            )
        if (number == _METADATA) is seen_metadata and number in (_METADATA, _DOCUMENTS, _EXTERNAL):
            message = "metadata stand a second time" if seen_metadata else "metadata do not stand first"
            raise MalformedIndex("malformed-metadata", message, byte_offset=start)
        value, base = _value(index, wire_type, limits, start)
        if index.offset > limits.raw_bytes:
            raise MalformedIndex(
                "too-large", f"the index has more than {limits.raw_bytes:,} bytes", byte_offset=start
            )
        if number == _METADATA:
            seen_metadata = True
            yield Metadata(_metadata(value, base))
        elif number == _DOCUMENTS:
            document = read_document(value, base, symbols)
            if not document.path:
                raise MalformedIndex("malformed-path", "a document has no path", byte_offset=start)
            yield At(document, start)
        elif number == _EXTERNAL:
            yield read_information(value, base, symbols)
    if not seen_metadata:
        raise MalformedIndex(
            "malformed-metadata", "the index is empty: it has no metadata", byte_offset=index.offset
        )


def _tag(value: int, at: int) -> tuple[int, int]:
    if value >> 3 == 0 or value >> 32 or value & 7 not in (0, 1, 2, 5):
        raise MalformedIndex("malformed-index", "this is no SCIP index: no field begins here", byte_offset=at)
    return value >> 3, value & 7


def _value(index: RawIndex, wire_type: int, limits: Limits, start: int) -> tuple[bytes, int]:
    """The value of a field, and where it begins; empty for a number."""
    if wire_type != LENGTH:
        if wire_type == 0:
            index.varint()
        else:
            index.skip(8 if wire_type == 1 else 4)
        return b"", index.offset
    size = index.varint()
    if size > limits.document_bytes:
        raise MalformedIndex(
            "too-large",
            f"a field has {size:,} bytes: more than the {limits.document_bytes:,} that one document may have",
            byte_offset=start,
        )
    base = index.offset
    return index.read(size), base


def _metadata(raw: bytes, base: int) -> Facts:
    try:
        return _facts(raw)
    except (IndexError, UnicodeDecodeError) as error:
        raise MalformedIndex("malformed-metadata", "the metadata cannot be read", byte_offset=base) from error
    except MalformedIndex as error:
        raise MalformedIndex(
            error.code, error.message, byte_offset=base + (error.byte_offset or 0)
        ) from error


def _facts(raw: bytes) -> Facts:
    version = encoding = at = 0
    root = name = tool_version = ""
    arguments: list[str] = []
    while at < len(raw):
        number, wire_type, at = tag(raw, at)
        end = end_of(raw, at, wire_type)
        if number in (1, 4) and wire_type == 0:
            value, _ = varint(raw, at)
            version, encoding = (value, encoding) if number == 1 else (version, value)
        elif number in (2, 3) and wire_type == LENGTH:
            start, end = length(raw, at)
            if number == 3:
                root = raw[start:end].decode()
            else:
                name, tool_version, arguments = _tool(raw[start:end])
        at = end
    return Facts(
        tool_name=name,
        tool_version=tool_version,
        tool_arguments=arguments,
        project_root=root,
        text_document_encoding=_ENCODINGS.get(encoding, str(encoding)),
        protocol_version=version,
    )


def _tool(raw: bytes) -> tuple[str, str, list[str]]:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: []}
    at = 0
    while at < len(raw):
        number, wire_type, at = tag(raw, at)
        end = end_of(raw, at, wire_type)
        if number in texts and wire_type == LENGTH:
            start, end = length(raw, at)
            texts[number].append(raw[start:end].decode())
        at = end
    return (texts[1] or [""])[-1], (texts[2] or [""])[-1], texts[3]
