"""Real git repositories, made in milliseconds with ``git fast-import``: dated, with merges, and with defects."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple


class Executable(NamedTuple):
    """A file of mode 100755."""

    content: bytes


class Symlink(NamedTuple):
    """A symbolic link; ``target`` is what git stores as its blob."""

    target: bytes


class Submodule(NamedTuple):
    """A link to a commit of another repository."""

    commit: str


class Moved(NamedTuple):
    """The file comes from this path of the parent, which ends there."""

    source: str


Content = bytes | str | Executable | Symlink | Submodule | Moved | None
"""None deletes the path."""


def git(repository: Path, *arguments: str, stdin: bytes = b"", may_fail: bool = False) -> bytes:
    """Output of a git command without anybody's configuration. Raises CalledProcessError unless ``may_fail``."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
        "LC_ALL": "C",
    }
    return subprocess.run(
        ["git", "-C", str(repository), *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        check=not may_fail,
    ).stdout


class RepositoryBuilder:
    """Collects commits, then writes them all at once.

    >>> builder = RepositoryBuilder(path)
    >>> first = builder.commit(at, {"a.py": "TODO"})
    >>> builder.commit(later, {"a.py": None, "b.py": Moved("a.py")})
    >>> builder.build()
    """

    def __init__(
        self, path: Path, *, bare: bool = True, branch: str = "main", object_format: str = "sha1"
    ) -> None:
        self.path = path
        self._branch = branch
        self._stream = bytearray()
        self._marks = 0
        self._tips: dict[str, int] = {}
        path.mkdir(parents=True)
        arguments = ["init", "-q", f"--initial-branch={branch}", f"--object-format={object_format}"]
        git(path, *arguments, *(["--bare"] if bare else []))

    def commit(
        self,
        at: datetime,
        changes: Mapping[str, Content],
        *,
        branch: str | None = None,
        parent: int | None = None,
        merges: Sequence[int] = (),
        message: str = "change",
    ) -> int:
        """Add a commit with committer time ``at`` and give its mark.

        Paths that are no UTF-8 are written with surrogate escapes.
        ``parent`` is the first parent (default: the branch's tip), ``merges`` are the others.
        """
        name = branch or self._branch
        self._marks += 1
        mark = self._marks
        seconds = int(at.timestamp())
        self._line(f"commit refs/heads/{name}")
        self._line(f"mark :{mark}")
        self._line(f"committer Ada <ada@example.com> {seconds} +0000")
        self._data(message.encode())
        first = parent or self._tips.get(name)
        if first is not None:
            self._line(f"from :{first}")
        for merged in merges:
            self._line(f"merge :{merged}")
        for path, content in changes.items():
            self._change(path.encode(errors="surrogateescape"), content)
        self._line("")
        self._tips[name] = mark
        return mark

    def build(self) -> Path:
        """Write everything; objects stay loose, so that one can be removed."""
        git(
            self.path,
            "-c",
            "fastimport.unpackLimit=1000000",
            "fast-import",
            "--quiet",
            "--force",
            stdin=bytes(self._stream),
        )
        self._stream.clear()
        if (self.path / ".git").is_dir() and self._tips:
            git(self.path, "reset", "-q", "--hard")
        return self.path

    def _change(self, path: bytes, content: Content) -> None:
        quoted = _quoted(path)
        match content:
            case None:
                self._stream += b"D " + quoted + b"\n"
            case Moved():
                source = _quoted(content.source.encode(errors="surrogateescape"))
                self._stream += b"R " + source + b" " + quoted + b"\n"
            case Submodule():
                self._stream += f"M 160000 {content.commit} ".encode() + quoted + b"\n"
            case Symlink():
                self._stream += b"M 120000 inline " + quoted + b"\n"
                self._data(content.target)
            case Executable():
                self._stream += b"M 100755 inline " + quoted + b"\n"
                self._data(content.content)
            case _:
                self._stream += b"M 100644 inline " + quoted + b"\n"
                self._data(content.encode() if isinstance(content, str) else content)

    def _line(self, text: str) -> None:
        self._stream += text.encode() + b"\n"

    def _data(self, data: bytes) -> None:
        self._stream += f"data {len(data)}\n".encode() + data + b"\n"


def _quoted(path: bytes) -> bytes:
    out = bytearray(b'"')
    for byte in path:
        if byte in b'"\\' or byte < 32 or byte > 126:
            out += f"\\{byte:03o}".encode()
        else:
            out.append(byte)
    return bytes(out + b'"')


def empty_repository(path: Path) -> Path:
    """No commit at all."""
    return RepositoryBuilder(path).build()


def blob_id(repository: Path, revision: str, path: str) -> str:
    """Object id of a file at a revision."""
    return git(repository, "rev-parse", f"{revision}:{path}").decode().strip()


def remove_object(repository: Path, oid: str) -> None:
    """Lose one loose object, as an interrupted transfer or a partial clone does."""
    _loose_object(repository, oid).unlink()


def damage_object(repository: Path, oid: str) -> None:
    """Overwrite one loose object with what git cannot inflate, as a failing disk does."""
    file = _loose_object(repository, oid)
    file.chmod(0o644)
    file.write_bytes(b"damaged")


def _loose_object(repository: Path, oid: str) -> Path:
    folder = Path(git(repository, "rev-parse", "--git-path", "objects").decode().strip())
    return repository / folder / oid[:2] / oid[2:]


def shallow_clone(source: Path, target: Path, depth: int) -> Path:
    """A bare clone that ends ``depth`` commits below the tip."""
    git(source, "clone", "-q", "--bare", f"--depth={depth}", source.resolve().as_uri(), str(target))
    return target


def partial_clone(source: Path, target: Path) -> Path:
    """A bare clone without any blob."""
    git(source, "config", "uploadpack.allowFilter", "true")
    git(source, "clone", "-q", "--bare", "--filter=blob:none", source.resolve().as_uri(), str(target))
    return target


def bare_clone(source: Path, target: Path, *, borrow: bool = False) -> Path:
    """A full bare clone; ``borrow`` reads the source's objects in place (alternates)."""
    arguments = ["clone", "-q", "--bare", *(["--shared"] if borrow else []), str(source), str(target)]
    git(source, *arguments)
    return target
