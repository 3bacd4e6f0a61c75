"""Log files of child processes: appended to by the child itself, kept below a size by its supervisor."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

LOG_LIMIT_BYTES = 10_000_000
_CHUNK_BYTES = 64 * 1024


def log_path(logs: Path, name: str) -> Path:
    """Where the child of this name writes."""
    return logs / f"{name}.log"


def rotate_if_large(path: Path, *, limit_bytes: int = LOG_LIMIT_BYTES) -> bool:
    """Copy a log above the limit to ``NAME.log.1`` and empty it; whether that was done.

    The child keeps its file open in append mode, so it goes on at the start of the emptied file. Lines written between the
    copy and the cut are lost: acceptable for a log, and no pipe stands between a child and its disk.
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    with path.open("r+b") as file:
        file.truncate(0)
    return True


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a file, oldest first; empty when there is no file."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            data = b""
            while end > 0 and data.count(b"\n") <= lines:
                start = max(0, end - _CHUNK_BYTES)
                file.seek(start)
                data = file.read(end - start) + data
                end = start
    except FileNotFoundError:
        return []
    return data.decode("utf-8", errors="replace").splitlines()[-lines:] if lines > 0 else []


def follow(
    paths: list[Path],
    *,
    stop: Callable[[], bool],
    start: Mapping[Path, int] | None = None,
    poll_s: float = 0.2,
) -> Iterator[tuple[Path, str]]:
    """Lines as they are added to any of these files, until ``stop()``.

    Args:
        start: where to begin in each file, in bytes; by default at its present end.

    A file that is emptied (rotation) is read on from its start; one that does not exist yet is read from its start when it comes.
    """
    positions = dict(start) if start is not None else {path: _size(path) for path in paths}
    rests = dict.fromkeys(paths, b"")
    while not stop():
        idle = True
        for path in paths:
            size = _size(path)
            if size < positions[path]:
                positions[path], rests[path] = 0, b""
            if size == positions[path]:
                continue
            idle = False
            with path.open("rb") as file:
                file.seek(positions[path])
                data = rests[path] + file.read(_CHUNK_BYTES)
                positions[path] = file.tell()
            *complete, rests[path] = data.split(b"\n")
            for line in complete:
                yield path, line.decode("utf-8", errors="replace")
        if idle:
            time.sleep(poll_s)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
