"""What the machine must be and have."""

import os
import shutil
import sys

from infra.embedded.errors import MissingProgram, UnsupportedPlatform


def check_platform(*, system: str, machine: str, python: tuple[int, int]) -> None:
    """Raise :class:`UnsupportedPlatform` unless this is Linux x86-64 with Python 3.11 to 3.14."""
    if system != "linux" or machine != "x86_64":
        raise UnsupportedPlatform(
            f"the embedded stack runs on Linux x86-64, this is {system} {machine}",
            remedy="use an existing cluster: set MILLSTREAM_KAFKA_BOOTSTRAP and MILLSTREAM_DATABASE_URL",
        )
    if not (3, 11) <= python <= (3, 14):
        raise UnsupportedPlatform(
            f"Millstream needs Python 3.11 to 3.14, this is {python[0]}.{python[1]}",
            remedy="make clean, then make demo PYTHON=python3.12 (or another from 3.11 to 3.14)",
        )


def check_this_platform() -> None:
    """:func:`check_platform` for the machine and Python that run this."""
    check_platform(system=sys.platform, machine=os.uname().machine, python=sys.version_info[:2])


def require_git(path: str | None = None) -> str:
    """Where git is (searched in ``path`` instead of the environment's PATH). Raises MissingProgram."""
    found = shutil.which("git", path=path)
    if found is None:
        raise MissingProgram(
            "git is not on the PATH",
            remedy="install it (Debian, Ubuntu: apt-get install git), then try again",
        )
    return found
