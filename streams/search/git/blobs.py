"""Reading blobs: each wanted one once, in large blocks, matched while git inflates the next."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

from streams.search.expressions import Expression
from streams.search.git.command import Git, Process
from streams.search.matcher import BINARY_PREFIX_BYTES, is_binary
from streams.search.protocol import Reason
from streams.search.scanning import BufferScanner, Slice, Values

_BLOCK_BYTES = 256 << 10
_WORTH_A_NEW_PROCESS_BYTES = 32 << 20
"""An unwanted blob larger than this is not even inflated: git is started anew behind it."""


class BlobRequest(NamedTuple):
    """``wanted``: bit mask of expressions; ``any_size``: it stands at a path that may be larger than the limit."""

    oid: bytes
    wanted: int
    any_size: bool


class BlobValues(NamedTuple):
    """``values``: of the blobs that count anything. ``unknown``: why a blob could not be counted.

    ``too_large``: larger than the limit. ``order``: ids in the order asked for; ``clock``: (monotonic time, how many
    of them were done by then).
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
        self._blobs = 0
        self._size_bytes = 0

    def read(self, requests: Sequence[BlobRequest]) -> BlobValues:
        """Values of all requested blobs."""
        self._result.order.extend(request.oid for request in requests)
        done = 0
        known_present = False
        while done < len(requests):
            if self._late():
                self._give_up(requests[done:], "timeout")
                break
            first = done
            with (
                _lines(request.oid for request in requests[done:]) as stdin,
                self._git.start(["cat-file", "--batch", "--buffer"], stdin) as process,
            ):
                done = self._stream(process, requests, done)
                died = done < len(requests) and not process.was_killed
            if died and not known_present:
                requests = self._without_absent(requests, done)
                known_present = True
            elif died and done == first:
                self._give_up(requests[done : done + 1], "missing-object")  # there, and not readable
                done += 1
        return self._result._replace(blobs=self._blobs, size_bytes=self._size_bytes)

    def _stream(self, process: Process, requests: Sequence[BlobRequest], done: int) -> int:
        """Take in what git prints; -> index of the first request that is not done when it ends or is ended."""
        stdout, rest, missing = process.stdout, b"", 0
        while block := stdout.read(max(_BLOCK_BYTES, missing)):
            buffer = rest + block if rest else block
            slices: list[Slice] = []
            oids: list[bytes] = []
            at, missing = 0, 0
            while (line_end := buffer.find(b"\n", at)) >= 0:
                request = requests[done]
                oid_bytes = len(request.oid)
                if buffer.endswith(b" missing", at, line_end):
                    self._result.unknown[request.oid] = "missing-object"
                    at = line_end + 1
                    done += 1
                    continue
                # <oid> SP blob SP <size> LF <contents> LF
                size = int(buffer[at + oid_bytes + 6 : line_end])
                start = line_end + 1
                end = start + size
                if size > self._max_size_bytes and self._skips(request):
                    done += 1
                    at = end + 1
                    if at > len(buffer) and not self._pass_over(process, at - len(buffer)):
                        self._match(buffer, slices, oids, done)
                        return done
                    continue
                if end >= len(buffer):
                    missing = end + 1 - len(buffer)
                    break
                slices.append(Slice(start, end, request.wanted))
                oids.append(request.oid)
                at = end + 1
                done += 1
            self._match(buffer, slices, oids, done)
            rest = buffer[at:]
            if self._late():
                process.kill()
                break
        return done

    def _skips(self, request: BlobRequest) -> bool:
        """Note a blob above the limit; False when its path is exempt."""
        self._result.too_large.add(request.oid)
        self._result.skipped["too-large"] += 1
        return not request.any_size

    def _pass_over(self, process: Process, count: int) -> bool:
        """Read and drop the rest of an unwanted blob; False when git was ended instead."""
        if count > _WORTH_A_NEW_PROCESS_BYTES:
            process.kill()
            return False
        while count > 0 and (block := process.stdout.read(min(count, _BLOCK_BYTES))):
            count -= len(block)
        return True

    def _match(self, buffer: bytes, slices: list[Slice], oids: list[bytes], done: int) -> None:
        if b"\0" in buffer:
            kept = [
                number
                for number, item in enumerate(slices)
                if not is_binary(buffer[item.start : min(item.end, item.start + BINARY_PREFIX_BYTES)])
            ]
            if len(kept) < len(slices):
                self._result.skipped["binary"] += len(slices) - len(kept)
                slices = [slices[number] for number in kept]
                oids = [oids[number] for number in kept]
        for oid, values in zip(oids, self._scanner.values(buffer, slices), strict=True):
            if values is not None:
                self._result.values[oid] = values
        self._blobs += len(slices)
        self._size_bytes += sum(item.end - item.start for item in slices)
        self._result.clock.append((time.monotonic(), done))

    def _without_absent(self, requests: Sequence[BlobRequest], done: int) -> Sequence[BlobRequest]:
        """In a partial clone git stops at the first object that is elsewhere: ask only for those that are here."""
        with self._git.start(
            ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered", "--buffer"]
        ) as listing:
            here = set(listing.stdout.read().split(b"\n"))
        absent = [request for request in requests[done:] if request.oid not in here]
        self._give_up(absent, "missing-object")
        return [*requests[:done], *(request for request in requests[done:] if request.oid in here)]

    def _give_up(self, requests: Iterable[BlobRequest], reason: Reason) -> None:
        for request in requests:
            self._result.unknown[request.oid] = reason

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline


@contextmanager
def _lines(oids: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """A file to be read as standard input: no second thread has to feed a pipe."""
    with tempfile.TemporaryFile() as file:
        file.write(b"\n".join(oids) + b"\n")
        file.seek(0)
        yield file
