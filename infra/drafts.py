"""Things that arrive in pieces, kept beside the blobs until they are whole: any process finds them again by name."""

import contextlib
import io
from collections.abc import Sequence
from typing import IO, Any, BinaryIO, Final, cast

from infra import into_place
from infra.blobs import BlobMissing, BlobRef, BlobStore

_FOLDER: Final = "drafts"
_CHUNK_BYTES: Final = 1 << 20


class Drafts:
    """Named drafts of one blob store, each a folder of numbered pieces and a note. Threads may share it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        filesystem, root = blobs.beside()
        self._filesystem: Any = filesystem
        self._root = f"{root}/{_FOLDER}"

    def claim(self, name: str, note: bytes) -> bool:
        """Begin the draft with a note where there is none; False where there is one, whoever began it."""
        folder = f"{self._root}/{name}"
        into_place.make_folder(self._filesystem, folder)
        try:
            with self._filesystem.open(f"{folder}/note", "xb") as stream:
                stream.write(note)
        except FileExistsError:
            return False
        return True

    def note(self, name: str, note: bytes) -> None:
        """Begin the draft, or replace its note."""
        piece = self.begin(name, "note")
        piece.write(note)
        piece.keep()

    def noted(self, name: str) -> bytes | None:
        """The note of a draft; None when there is no such draft."""
        try:
            with self._filesystem.open(f"{self._root}/{name}/note", "rb") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def begin(self, name: str, piece: int | str) -> "Piece":
        """A piece to be written: it is there once it is kept, whole, in the place of an earlier one."""
        folder = f"{self._root}/{name}"
        into_place.make_folder(self._filesystem, folder)
        return Piece(self._filesystem, f"{folder}/{piece}")

    def pieces(self, name: str) -> set[int]:
        """Numbers of the pieces that are there."""
        found = self._listed(f"{self._root}/{name}")
        return {int(one) for one in found if one.isascii() and one.isdigit()}

    def names(self) -> set[str]:
        """Names of all drafts."""
        return self._listed(self._root)

    def keep(self, name: str, pieces: Sequence[int]) -> BlobRef:
        """All these pieces, one behind the other, as one blob. Raises BlobMissing."""
        with contextlib.closing(_Joined(self, name, pieces)) as joined:
            return self._blobs.put(cast("BinaryIO", io.BufferedReader(joined, _CHUNK_BYTES)))

    def _listed(self, folder: str) -> set[str]:
        try:
            found = self._filesystem.ls(folder, detail=False, refresh=True)
        except FileNotFoundError:
            return set()
        return {str(one).rstrip("/").rpartition("/")[2] for one in found}

    def forget(self, name: str) -> None:
        """Remove the draft with everything in it, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.rm(f"{self._root}/{name}", recursive=True)

    def open_piece(self, name: str, piece: int) -> IO[bytes]:
        """A stream of one piece. Raises BlobMissing."""
        try:
            return cast("IO[bytes]", self._filesystem.open(f"{self._root}/{name}/{piece}", "rb"))
        except FileNotFoundError as error:
            raise BlobMissing(f"piece {piece} of {name} is not there", remedy="send it again") from error


class Piece:
    """A piece that is being written. One thread at a time."""

    def __init__(self, filesystem: Any, path: str) -> None:
        self._filesystem = filesystem
        self._unfinished = into_place.unfinished(path)
        self._path = path
        self._target: Any = filesystem.open(self._unfinished, "wb")

    def write(self, content: bytes) -> None:
        """More of it."""
        self._target.write(content)

    def keep(self) -> None:
        """It is whole."""
        into_place.keep(self._filesystem, self._target, self._unfinished, self._path)

    def drop(self) -> None:
        """It broke off: nothing of it stays."""
        into_place.drop(self._filesystem, self._target, self._unfinished)


class _Joined(io.RawIOBase):
    """Pieces read as one stream."""

    def __init__(self, drafts: Drafts, name: str, pieces: Sequence[int]) -> None:
        super().__init__()
        self._drafts = drafts
        self._name = name
        self._waiting = list(pieces)
        self._open: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while True:
            if self._open is None:
                if not self._waiting:
                    return 0
                self._open = self._drafts.open_piece(self._name, self._waiting.pop(0))
            found = self._open.read(len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)
            self._open.close()
            self._open = None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        super().close()
