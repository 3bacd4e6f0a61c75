"""A counting process: reads tasks from its input, counts, writes replies to its output. Started by ``pool``.

Each message is four bytes of length (big-endian) and MessagePack. The process dies with its parent, so that nobody
else counts a repository at the same time as one whose worker was killed.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from streams.search.engine import CountRequest, CountResult, EngineError, GitEngine, SearchLimits
from streams.search.query import QueryError

_PR_SET_PDEATHSIG: Final = 1
LENGTH_BYTES: Final = 4


class CountTask(msgspec.Struct, frozen=True, array_like=True):
    """One pass over one repository. One that takes longer than ``timeout_s`` fails as a whole: its process is ended.

    What a query's own ``timeout:`` cuts off is a lower bound instead: the engine's.
    """

    repository: str
    branch: str | None
    request: CountRequest
    timeout_s: float | None


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """The pass was made."""

    result: CountResult


class NotCounted(msgspec.Struct, frozen=True, tag="not-counted"):
    """The pass could not be made. ``is_bug``: nobody expected this error."""

    reason: str
    message: str
    is_bug: bool = False


Reply = Counted | NotCounted


def serve(engine: GitEngine, source: BinaryIO, sink: BinaryIO) -> None:
    """Answer tasks until the input ends."""
    decode = msgspec.msgpack.Decoder(CountTask).decode
    encode = msgspec.msgpack.Encoder().encode
    while True:
        head = source.read(LENGTH_BYTES)
        if len(head) < LENGTH_BYTES:
            return
        task = decode(source.read(int.from_bytes(head, "big")))
        data = encode(_count(engine, task))
        sink.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
        sink.flush()


def _count(engine: GitEngine, task: CountTask) -> Reply:
    try:
        return Counted(engine.count(Path(task.repository), task.branch, task.request))
    except EngineError as error:
        return NotCounted("unreadable", str(error))
    except QueryError as error:
        return NotCounted("invalid-query", str(error))
    except Exception as error:  # noqa: BLE001 - one repository's surprise must not end the counting of others
        return NotCounted("internal-error", f"{type(error).__name__}: {error}", is_bug=True)


def main() -> None:
    """``python -m streams.recordings.counter PARENT_PID LIMITS``."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    limits = SearchLimits(*msgspec.json.decode(sys.argv[2], type=tuple[int, tuple[str, ...]]))
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a stray print must not tear the messages apart
    serve(GitEngine(limits), sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
