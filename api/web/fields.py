"""Errors that stand at a field of a form."""

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """``message`` for people. With ``length`` > 0 the fault lies in ``text`` at ``position`` (code points)."""

    message: str
    text: str = ""
    position: int = 0
    length: int = 0


class Problem(msgspec.Struct, frozen=True):
    """A line of the summary above a form; ``field`` is the id of the input, or empty."""

    message: str
    field: str = ""
