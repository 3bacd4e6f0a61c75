"""An index as it is before compression, read forwards in constant memory, every byte counted. Pure of any store."""

import zlib
from collections.abc import Callable
from typing import IO, Final

from streams.uploads.errors import MalformedIndex

_CHUNK_BYTES: Final = 1 << 18
_INFLATED_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16
_LONGEST_VARINT: Final = 10


class RawIndex:
    """Reads ``source`` (gzip, of any number of members, or plain). What the source raises comes through."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0
        self._before = 0
        """Bytes that lie before the buffer."""
        self._compressed = source.read(_CHUNK_BYTES)
        is_gzip = self._compressed.startswith(_GZIP)
        self._fill: Callable[[], bytes] = self._inflate if is_gzip else self._plain
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        self._ended = False

    @property
    def offset(self) -> int:
        """Of the next byte."""
        return self._before + self._at

    def at_end(self) -> bool:
        """Whether nothing comes any more. Raises MalformedIndex where the compression says that something should."""
        return self._at == len(self._buffer) and not self._more()

    def read(self, size: int) -> bytes:
        """Exactly so many bytes. Raises MalformedIndex when there are fewer."""
        start = self.offset
        end = self._at + size
        if end <= len(self._buffer):
            found = self._buffer[self._at : end]
            self._at = end
            return found
        parts = [self._buffer[self._at :]]
        missing = size - len(parts[0])
        self._at = len(self._buffer)
        while missing:
            if not self._more():
                raise MalformedIndex(
                    "truncated",
                    f"the index ends {missing:,} bytes before the end of this field",
                    byte_offset=start,
                )
            part = self._buffer[:missing]
            self._at = len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        """Leave so many bytes out. Raises MalformedIndex when there are fewer."""
        while size:
            step = min(size, _INFLATED_BYTES)
            self.read(step)
            size -= step

    def varint(self) -> int:
        """A number. Raises MalformedIndex."""
        start = self.offset
        value = shift = 0
        for _ in range(_LONGEST_VARINT):
            (byte,) = self.read(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise MalformedIndex("malformed-varint", "a number has more than ten bytes", byte_offset=start)

    def _more(self) -> bool:
        """The next buffer; False at the end. The one before has been read."""
        self._before += len(self._buffer)
        self._buffer, self._at = self._fill(), 0
        return bool(self._buffer)

    def _plain(self) -> bytes:
        found, self._compressed = self._compressed, b""
        return found or self._source.read(_CHUNK_BYTES)

    def _inflate(self) -> bytes:
        while not self._ended:
            if not self._compressed:
                self._compressed = self._source.read(_CHUNK_BYTES)
            if self._inflater.eof:
                if not self._compressed:
                    self._ended = True
                    break
                if not self._compressed.startswith(_GZIP[: len(self._compressed)]):
                    raise self._wrong("there are bytes behind the compressed index")
                self._inflater = zlib.decompressobj(_GZIP_WINDOW)
            elif not self._compressed:
                raise self._wrong("the compressed index ends too early: it did not arrive whole")
            try:
                found = self._inflater.decompress(self._compressed, _INFLATED_BYTES)
            except zlib.error as error:
                raise self._wrong(f"the compression is broken: {error}") from error
            self._compressed = self._inflater.unconsumed_tail or self._inflater.unused_data
            if found:
                return found
        return b""

    def _wrong(self, message: str) -> MalformedIndex:
        return MalformedIndex("malformed-gzip", message, byte_offset=self._before)
