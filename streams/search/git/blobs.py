"""Reading blobs: sizes first, then each wanted one once, in large blocks, matched while git inflates the next."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

from streams.search.expressions import Expression
from streams.search.git.command import Git
from streams.search.matcher import BINARY_PREFIX_BYTES, is_binary
from streams.search.protocol import Reason
from streams.search.scanning import BufferScanner, Slice, Values

_BLOCK_BYTES = 256 << 10
_LF = 1


class BlobRequest(NamedTuple):
    """``wanted``: bit mask of expressions; ``any_size``: it stands at a path that may be larger than the limit."""

    oid: bytes
    wanted: int
    any_size: bool


class BlobValues(NamedTuple):
    """``values``: of the blobs that count anything. ``unknown``: why a blob could not be counted.

    ``too_large``: skipped unless the path is exempt. ``blobs``, ``size_bytes``: what was read.
    ``order``: ids in the order read; ``clock``: (monotonic time, how many were done by then).
    """

    values: dict[bytes, Values]
    unknown: dict[bytes, Reason]
    too_large: set[bytes]
    skipped: Counter[str]
    order: list[bytes]
    clock: list[tuple[float, int]]
    blobs: int = 0
    size_bytes: int = 0

    def unread_at(self, deadline: float) -> list[bytes]:
        """Ids of the blobs that were not done by then."""
        done = max((count for at, count in self.clock if at <= deadline), default=0)
        return self.order[done:]


class _Sized(NamedTuple):
    oid: bytes
    wanted: int
    size_bytes: int


class BlobReader:
    """Reads one share of a repository's blobs. Not for several threads."""

    def __init__(
        self, git: Git, expressions: Sequence[Expression], *, max_size_bytes: int, deadline: float | None
    ) -> None:
        self._git = git
        self._scanner = BufferScanner(expressions)
        self._max_size_bytes = max_size_bytes
        self._deadline = deadline
        self._result = BlobValues({}, {}, set(), Counter(), [], [])

    def read(self, requests: Sequence[BlobRequest]) -> BlobValues:
        """Values of all requested blobs."""
        sized = self._sized(requests)
        self._result.order.extend(request.oid for request in sized)
        done = 0
        if sized:
            with (
                _lines(request.oid for request in sized) as stdin,
                self._git.start(["cat-file", "--batch", "--buffer"], stdin) as contents,
            ):
                for block in _blocks(sized):
                    if self._deadline is not None and time.monotonic() > self._deadline:
                        contents.kill()
                        break
                    buffer = contents.stdout.read(_length(block))
                    if len(buffer) < _length(block):
                        break
                    self._match(buffer, block)
                    done += len(block)
                    self._result.clock.append((time.monotonic(), done))
            late = self._deadline is not None and time.monotonic() > self._deadline
            for request in sized[done:]:
                self._result.unknown[request.oid] = "timeout" if late else "missing-object"
        return self._result._replace(
            blobs=done, size_bytes=sum(request.size_bytes for request in sized[:done])
        )

    def _sized(self, requests: Sequence[BlobRequest]) -> list[_Sized]:
        """The requests that are there and not too large, with their sizes."""
        sized: list[_Sized] = []
        for request, size in zip(requests, self._sizes(requests), strict=True):
            if size is None:
                self._result.unknown[request.oid] = "missing-object"
            elif size > self._max_size_bytes and not request.any_size:
                self._skip_too_large(request.oid)
            else:
                if size > self._max_size_bytes:
                    self._skip_too_large(request.oid)
                sized.append(_Sized(request.oid, request.wanted, size))
        return sized

    def _skip_too_large(self, oid: bytes) -> None:
        self._result.too_large.add(oid)
        self._result.skipped["too-large"] += 1

    def _sizes(self, requests: Sequence[BlobRequest]) -> list[int | None]:
        lines = self._check(requests)
        if len(lines) < len(requests):
            # In a partial clone git stops at the first object that is elsewhere: ask only for those that are here.
            with self._git.start(
                ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered", "--buffer"]
            ) as listing:
                here = set(listing.stdout.read().split(b"\n"))
            known = [request for request in requests if request.oid in here]
            answers = dict(zip((request.oid for request in known), self._check(known), strict=False))
            lines = [answers.get(request.oid, b"") for request in requests]
        sizes: list[int | None] = []
        for line in lines:
            kind, _, size = line.rpartition(b" ")
            sizes.append(int(size) if kind.endswith(b" blob") else None)
        return sizes

    def _check(self, requests: Sequence[BlobRequest]) -> list[bytes]:
        with (
            _lines(request.oid for request in requests) as stdin,
            self._git.start(["cat-file", "--batch-check", "--buffer"], stdin) as sizes,
        ):
            return sizes.stdout.read().splitlines()

    def _match(self, buffer: bytes, block: Sequence[_Sized]) -> None:
        slices: list[Slice] = []
        oids: list[bytes] = []
        at = 0
        clean = b"\0" not in buffer
        for request in block:
            start = at + _header_bytes(request)
            end = start + request.size_bytes
            at = end + _LF
            if not clean and is_binary(buffer[start : min(end, start + BINARY_PREFIX_BYTES)]):
                self._result.skipped["binary"] += 1
                continue
            slices.append(Slice(start, end, request.wanted))
            oids.append(request.oid)
        for oid, values in zip(oids, self._scanner.values(buffer, slices), strict=True):
            if values is not None:
                self._result.values[oid] = values


def _header_bytes(request: _Sized) -> int:
    # <oid> SP blob SP <size> LF
    return len(request.oid) + 6 + len(str(request.size_bytes)) + _LF


def _length(block: Sequence[_Sized]) -> int:
    return sum(_header_bytes(request) + request.size_bytes + _LF for request in block)


def _blocks(requests: Iterable[_Sized]) -> Iterator[list[_Sized]]:
    """Neighbours whose output is read at once: about 256 KiB, or one larger blob."""
    block: list[_Sized] = []
    size_bytes = 0
    for request in requests:
        block.append(request)
        size_bytes += request.size_bytes
        if size_bytes >= _BLOCK_BYTES:
            yield block
            block, size_bytes = [], 0
    if block:
        yield block


@contextmanager
def _lines(oids: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """A file to be read as standard input: no second thread has to feed a pipe."""
    with tempfile.TemporaryFile() as file:
        file.write(b"\n".join(oids) + b"\n")
        file.seek(0)
        yield file
