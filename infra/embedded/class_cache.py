"""Kafka's classes, loaded and linked once and kept for later starts: half the processor time of a start.

Java 25 writes such a cache when a program ends (JEP 514, ahead-of-time cache). The first broker of a machine is asked for it; it
stands beside the jars from then on. Java itself refuses one that does not fit it, and goes on without.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.embedded.java import Java

_SINCE_JAVA: Final = 25
_DRAFT: Final = "classes.aot"


def cache_file(java: Java, jars: Sequence[Path]) -> Path | None:
    """Where the cache of this Java and these jars is kept; None for a Java that writes none."""
    if java.major < _SINCE_JAVA or not jars:
        return None
    made_of = "\n".join([str(java.path), *map(str, java.version), *map(str, jars)])
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    return jars[0].parent / f"classes-{digest}.aot"


def java_options(java: Java, jars: Sequence[Path], scratch: Path) -> tuple[str, ...]:
    """The broker's options: use the cache, or write one into ``scratch`` at the end when there is none yet."""
    kept = cache_file(java, jars)
    if kept is None:
        return ()
    return (f"-XX:AOTCache={kept}",) if kept.exists() else (f"-XX:AOTCacheOutput={scratch / _DRAFT}",)


def keep(java: Java, jars: Sequence[Path], scratch: Path) -> bool:
    """Whether a broker that has ended wrote a cache: it is kept for the next start, whole, whoever else does the same."""
    kept, draft = cache_file(java, jars), scratch / _DRAFT
    if kept is None or not draft.exists():
        return False
    beside = kept.with_name(f".{kept.name}.{scratch.stat().st_ino}")  # another disk, perhaps
    try:
        shutil.move(draft, beside)
        beside.replace(kept)
    except OSError:
        beside.unlink(missing_ok=True)  # no room for it: starts stay slower
        return False
    return True
