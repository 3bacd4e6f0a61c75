"""How fast is a SCIP index read, checked and kept, and does its size show in the memory?

    python -m bench.upload [--sizes 10 100 500]

Indexes of these sizes (MB before compression) are generated: documents of 400 occurrences and 40 symbols, as an indexer of Python
writes them. Each is read by a process of its own, from one blob store into the same, as the worker does it: decompressed,
checked field by field, brought into the form that is kept, compressed, hashed, packed. Counts are compared with those generated, and
documents are read back through the manifest. ``raw_mb_per_s`` is per core (by CPU time) and of the largest; ``peak_mb`` is the
most memory that any of the processes held.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from infra.blobs import BlobRef, BlobStore
from streams.uploads.child import Malformed, Read, ReadTask, Reply, read
from streams.uploads.processing import Indexed
from streams.uploads.store import Manifest
from streams.uploads.wire import encoded_field as field
from streams.uploads.wire import encoded_varint

SIZES_MB: Final = (10, 100, 500)
OCCURRENCES: Final = 400
SYMBOLS: Final = 40
_MB: Final = 1_000_000


class Measured(msgspec.Struct, frozen=True):
    """What the process that read an index says of itself."""

    reply: Reply
    cpu_s: float
    peak_kib: int


def document(number: int, chance: random.Random) -> bytes:
    """A field of the index: one document."""
    own = [
        f"scip-python python proj 0.1.0 `pkg.mod{number}`/Class{n}#method{n}().".encode()
        for n in range(SYMBOLS)
    ]
    foreign = [f"scip-python python lib{n} 2.3.{n} `lib{n}.core`/thing{n}#".encode() for n in range(20)]
    parts = [field(1, f"src/pkg/mod{number}.py".encode())]
    for place in range(OCCURRENCES):
        first, last = chance.randrange(80), chance.randrange(80, 120)
        kind = chance.random()
        local = b"local %d" % chance.randrange(60)
        symbol = chance.choice(own) if kind < 0.5 else chance.choice(foreign) if kind < 0.75 else local
        where = b"".join(map(encoded_varint, (place // 2, first, last)))
        parts.append(field(2, field(1, where) + field(2, symbol) + b"\x18" + bytes((chance.choice((1, 8)),))))
    for symbol in own:
        signature = field(3, b"```python\ndef method(self, a: int, b: str) -> None:\n```")
        parts.append(field(3, field(1, symbol) + signature + field(3, b"Does a thing with a and b.")))
    return field(2, b"".join(parts))


def index(size_bytes: int) -> Iterator[bytes]:
    """An index of about that size, part by part."""
    head = field(1, field(2, field(1, b"scip-bench") + field(2, b"1")) + field(3, b"file:///p") + b"\x20\x01")
    yield head
    chance, written, number = random.Random(6), len(head), 0
    while written < size_bytes:
        part = document(number, chance)
        yield part
        written += len(part)
        number += 1


def measure(task: ReadTask) -> Measured:
    """Read it in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.upload", "--read"],
        input=msgspec.json.encode(task),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Measured)


def read_here() -> None:
    """What ``measure`` starts."""
    import resource

    task = msgspec.json.decode(sys.stdin.buffer.read(), type=ReadTask)
    began_s = time.process_time()
    reply = read(task)
    used_s = time.process_time() - began_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.buffer.write(msgspec.json.encode(Measured(reply, used_s, peak_kib)))


def checked(reply: Reply, documents: int, blobs: BlobStore) -> Indexed:
    """The counts are those generated, and documents are found. Ends the benchmark otherwise."""
    if isinstance(reply, Malformed) or not isinstance(reply, Read):
        raise SystemExit(f"not read: {reply}")
    facts = reply.indexed.facts
    wanted = (documents, documents * SYMBOLS, documents * OCCURRENCES)
    if (facts.documents, facts.symbols, facts.occurrences) != wanted:
        raise SystemExit(f"counted {facts}, generated {wanted}")
    manifest = Manifest(blobs, reply.indexed.manifest)
    for number in (0, documents // 2, documents - 1):
        place = manifest.find(f"src/pkg/mod{number}.py")
        if place is None or not manifest.read(place):
            raise SystemExit(f"document {number} is not found")
    return reply.indexed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES_MB)
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read_here()
        return
    figures: dict[str, float] = {}
    peaks: list[float] = []
    for size_mb in sorted(arguments.sizes):
        with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
            ref, documents, raw_bytes = kept(Path(folder), size_mb)
            found = measure(ReadTask(blob_url=folder, index=ref))
            checked(found.reply, documents, BlobStore(folder))
        rate, peak = raw_bytes / _MB / found.cpu_s, found.peak_kib * 1024 / _MB
        peaks.append(peak)
        figures[f"raw_mb_per_s_{size_mb}"] = round(rate, 1)
        figures[f"peak_mb_{size_mb}"] = round(peak, 1)
        print(
            f"{size_mb} MB, {documents} documents, {ref.size_bytes / _MB:.1f} MB compressed: "
            f"{found.cpu_s:.1f} s, {rate:.1f} MB/s, {peak:.0f} MB",
            file=sys.stderr,
        )
        figures["raw_mb_per_s"] = round(rate, 1)
    figures["peak_mb"] = round(max(peaks), 1)
    print(json.dumps({"bench": "upload", "checked": True, "figures": figures}))


def kept(folder: Path, size_mb: int) -> tuple[BlobRef, int, int]:
    """A generated index in the store of ``folder``; its documents, and its size before compression."""
    path, documents, raw_bytes = folder / "index.gz", -1, 0
    with gzip.open(path, "wb", compresslevel=1) as target:
        for part in index(size_mb * _MB):
            target.write(part)
            raw_bytes += len(part)
            documents += 1
    with path.open("rb") as source:
        ref = BlobStore(str(folder)).put(source)
    path.unlink()
    return ref, documents, raw_bytes


if __name__ == "__main__":
    main()
