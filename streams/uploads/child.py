"""A process that reads one index: asked by ``processor`` in JSON on its input, answers in JSON on its output, and ends.

So an index that takes all memory ends nothing but its own reading, and what it took is given back. The process dies with its
parent, so that nobody else reads the same upload at the same time.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Final

import msgspec

from infra.blobs import BlobRef, BlobStore
from schemas.errors import MillstreamError
from streams.uploads.errors import MalformedIndex
from streams.uploads.processing import Indexed, process_scip
from streams.uploads.scip import Limits

_PR_SET_PDEATHSIG: Final = 1


class ReadTask(msgspec.Struct, frozen=True, kw_only=True):
    """One index to be read. ``earlier`` is the manifest of one that may hold most of the same documents."""

    blob_url: str
    index: BlobRef
    earlier: BlobRef | None = None
    limits: Limits = Limits()
    memory_bytes: int = 1 << 30


class Read(msgspec.Struct, frozen=True, tag="read"):
    """The index was read to its end."""

    indexed: Indexed


class Malformed(msgspec.Struct, frozen=True, tag="malformed"):
    """The index is not what its format says."""

    code: str
    message: str
    document: str
    byte_offset: int | None


class Fault(msgspec.Struct, frozen=True, tag="fault"):
    """It could not be read now; nothing is said of the index. ``is_bug``: nobody expected this error."""

    code: str
    message: str
    is_bug: bool = False


Reply = Read | Malformed | Fault


def read(task: ReadTask) -> Reply:
    """Read one index. What is wrong is a reply, not an error."""
    blobs = BlobStore(task.blob_url)
    try:
        with blobs.open(task.index) as source:
            return Read(process_scip(source, blobs, earlier=task.earlier, limits=task.limits))
    except MalformedIndex as error:
        return Malformed(error.code, error.shown, error.document, error.byte_offset)
    except MemoryError:
        return Fault("out-of-memory", f"more than {task.memory_bytes >> 20:,} MiB of memory were needed")
    except (MillstreamError, OSError) as error:
        return Fault("blob-store", f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - one index's surprise must not end the reading of others
        return Fault("internal-error", f"{type(error).__name__}: {error}", is_bug=True)


def main() -> None:
    """``python -m streams.uploads.child PARENT_PID``."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    os.nice(5)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a stray print must not stand in the answer
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=ReadTask)
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory_bytes, task.memory_bytes))
    sink.write(msgspec.json.encode(read(task)))
    sink.flush()


if __name__ == "__main__":
    main()
