"""Files that appear whole or not at all, and are still there after the machine lost its power.

What is being written stands in its folder under a name of its own, ``.<name>.<random>``: a reader never meets half a file, two writers
never mix theirs. A process that is killed leaves such a file behind; ``left_behind`` finds it.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

_MARK: Final = "."


def unfinished(path: str) -> str:
    """A name for what is going to stand at ``path``."""
    parent, _, name = path.rpartition("/")
    return f"{parent}/{_MARK}{name}.{secrets.token_hex(6)}"


def is_unfinished(path: str) -> bool:
    """Whether ``unfinished`` has made this name."""
    return path.rpartition("/")[2].startswith(_MARK)


def keep(filesystem: Any, target: Any, draft: str, path: str) -> None:
    """``target``, open for writing at ``draft``, is whole: it takes its place at ``path``."""
    if _is_local(filesystem):
        target.flush()
        os.fsync(target.fileno())
    target.close()
    filesystem.mv(draft, path)
    if _is_local(filesystem):
        _sync_folder(path.rpartition("/")[0])


def drop(filesystem: Any, target: Any, draft: str) -> None:
    """It broke off: nothing of it stays."""
    with contextlib.suppress(OSError):  # a full disk refuses what was still in memory
        target.close()
    with contextlib.suppress(OSError):
        filesystem.rm_file(draft)


def make_folder(filesystem: Any, folder: str) -> None:
    """The folder is there, and stays."""
    is_new = _is_local(filesystem) and not filesystem.isdir(folder)
    filesystem.makedirs(folder, exist_ok=True)
    if is_new:
        _sync_folder(folder.rpartition("/")[0])


def left_behind(filesystem: Any, root: str, before: datetime) -> Iterator[str]:
    """Unfinished files in the folders of ``root`` that nobody has written to since ``before``."""
    for folder in _listed(filesystem, root):
        for path in _listed(filesystem, folder):
            if is_unfinished(path):
                with contextlib.suppress(FileNotFoundError):
                    if filesystem.modified(path) < before:
                        yield path


def _is_local(filesystem: Any) -> bool:
    """An object store answers for what it has taken; a disk has to be asked."""
    return bool(getattr(filesystem, "local_file", False))


def _listed(filesystem: Any, folder: str) -> list[str]:
    try:
        return [str(one) for one in filesystem.ls(folder, detail=False, refresh=True)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder or "/", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
