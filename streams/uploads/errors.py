"""What is wrong with an index."""

from schemas.errors import MillstreamError


class MalformedIndex(MillstreamError):
    """The index is not what its format says, and will not be when it is read again.

    ``code`` is for programs. ``byte_offset`` counts in the index as it is before compression, ``document`` is the path of the
    document there, as far as it is known.
    """

    def __init__(
        self, code: str, message: str, *, byte_offset: int | None = None, document: str = ""
    ) -> None:
        super().__init__(message, remedy="Make the index again, with the newest version of the indexer.")
        self.code = code
        self.message = message
        self.byte_offset = byte_offset
        self.document = document

    @property
    def shown(self) -> str:
        """The message with the place."""
        document = f"{self.document}: " if self.document else ""
        place = "" if self.byte_offset is None else f" (byte {self.byte_offset:,} of the index)"
        return f"{document}{self.message}{place}"
