"""What is wrong with a query, and where."""

from schemas.errors import MillstreamError


class QueryError(MillstreamError):
    """A query that cannot be run.

    ``position`` is the 0-based offset in code points where the fault begins, ``length`` (at least 1) how far
    it reaches; ``reason`` says what is wrong in one sentence. ``str(error)`` adds the line with a caret.
    """

    def __init__(self, reason: str, *, text: str, position: int, length: int = 1, remedy: str = "") -> None:
        self.reason = reason
        self.text = text
        self.position = max(0, min(position, len(text)))
        self.length = max(1, min(length, len(text) - self.position))
        super().__init__(f"{reason} (at position {self.position})\n{self.caret()}", remedy=remedy)

    def caret(self) -> str:
        """The query line that holds the fault, and below it a line of carets."""
        start = self.text.rfind("\n", 0, self.position) + 1
        end = self.text.find("\n", self.position)
        line = self.text[start : len(self.text) if end < 0 else end]
        column = self.position - start
        width = max(1, min(self.length, len(line) - column))
        pad = "".join("\t" if char == "\t" else " " for char in line[:column])
        return f"{line}\n{pad}{'^' * width}"
