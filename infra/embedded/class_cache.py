"""Kafka's classes, loaded and linked once and kept for later starts: half the processor time of a start.

Java 25 writes such a cache when a program ends (JEP 514, ahead-of-time cache). The first broker of a machine is asked for it; it
stands beside the jars from then on. Java itself refuses one that does not fit it, and goes on without.
"""

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from infra.embedded.java import Java

_SINCE_JAVA: Final = 25
_DRAFT: Final = "classes.aot"
_FILES: Final = "classes-*.aot"
_UNREAD_S: Final = 30 * 24 * 3600.0
_ORDERLY: Final = frozenset((0, -signal.SIGTERM, 128 + signal.SIGTERM))
"""Exit codes of a Java that ended by itself, or because it was asked to."""


def cache_file(java: Java, jars: Sequence[Path]) -> Path | None:
    """Where the cache of this Java and these files is kept; None for a Java that writes none, or where nobody may write."""
    if java.major < _SINCE_JAVA or not jars or not os.access(jars[0].parent, os.W_OK):
        return None
    made_of = [str(java.path), *map(str, java.version)]
    for jar in jars:
        found = jar.stat()  # Java refuses a cache of files that were written since
        made_of.append(f"{jar} {found.st_size} {found.st_mtime_ns}")
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:12]
    return jars[0].parent / _FILES.replace("*", digest)


def java_options(java: Java, jars: Sequence[Path], scratch: Path) -> tuple[str, ...]:
    """The broker's options: use the cache, or write one into ``scratch`` at the end when there is none yet."""
    kept = cache_file(java, jars)
    if kept is None:
        return ()
    return (f"-XX:AOTCache={kept}",) if kept.exists() else (f"-XX:AOTCacheOutput={scratch / _DRAFT}",)


def keep(java: Java, jars: Sequence[Path], scratch: Path, exit_code: int | None) -> bool:
    """Whether a broker that has ended wrote a cache: it is kept for the next start, whole, whoever else does the same.

    What one wrote that did not end by itself may be cut short, and is left. Caches that nobody has read for a month go.
    """
    kept, draft = cache_file(java, jars), scratch / _DRAFT
    if kept is None or exit_code not in _ORDERLY or not draft.exists():
        return False
    beside = kept.with_name(f".{kept.name}.{os.getpid()}")  # another disk, perhaps
    try:
        shutil.move(draft, beside)
        beside.replace(kept)
    except OSError:
        with suppress(OSError):
            beside.unlink()  # no room for it: starts stay slower
        return False
    _drop_unread(kept.parent, time.time() - _UNREAD_S)
    return True


def _drop_unread(folder: Path, since_s: float) -> None:
    for one in folder.glob(_FILES):
        with suppress(OSError):
            if one.stat().st_atime < since_s:
                one.unlink()
