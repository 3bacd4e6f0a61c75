"""What can go wrong around the embedded stack. Every error carries its remedy in one line."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import MillstreamError

_WORDS_OF_A_FULL_DISK = (
    os.strerror(errno.ENOSPC),
    os.strerror(errno.EDQUOT),
    "Check free disk space",  # PostgreSQL, where a write was cut short
)


class StackError(MillstreamError):
    """The embedded stack could not do what was asked."""


class UnsupportedPlatform(StackError):
    """This machine or Python is not one that the embedded stack runs on."""


class MissingProgram(StackError):
    """A program that is needed is not on this machine."""


class RegistryUnreachable(StackError):
    """Kafka's jars could not be downloaded."""


class ChecksumMismatch(StackError):
    """A downloaded file is not the one that the lock names."""


class DiskFull(StackError):
    """There is not enough room for the data."""


class PortTaken(StackError):
    """A port that this home has chosen is in use by another program."""


class DataVersionMismatch(StackError):
    """The data in this home was written by another version."""


class NotRunning(StackError):
    """No stack runs in this home."""


class ChildFailed(StackError):
    """A child process ended, or did not become ready in time."""


class AccountRefused(StackError):
    """PostgreSQL refuses to run as root and no unprivileged way was found."""


@contextmanager
def naming_disk_full(folder: Path) -> Iterator[None]:
    """Turn "no space left on device" and "quota exceeded" into :class:`DiskFull`, which names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(folder) from error
        raise


def disk_full(folder: Path, *, needed_bytes: int | None = None) -> DiskFull:
    """The error for a folder without room."""
    amount = f" ({needed_bytes // 1_000_000} MB are needed)" if needed_bytes is not None else ""
    return DiskFull(
        f"no space left for {folder}{amount}",
        remedy=f"free some space on the disk of {folder}, or set MILLSTREAM_HOME to a folder on another disk",
    )


def child_failed(message: str, *, said: str, folder: Path, remedy: str) -> StackError:
    """The error for a child that failed: :class:`DiskFull` when what it said shows that, else :class:`ChildFailed`."""
    if any(words in said for words in _WORDS_OF_A_FULL_DISK):
        return disk_full(folder)
    return ChildFailed(message, remedy=remedy)
