"""The root of Millstream's error tree."""


class MillstreamError(Exception):
    """Something went wrong that an operator can act on.

    ``str(error)`` says what was wrong and where; ``remedy`` says what to do next, in one line
    (empty where the message already says it).
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class MustStop(MillstreamError):
    """Going on would lose or corrupt data: the process or partition has to stop and say so."""


class NeedsUpgrade(MustStop):
    """The log holds a version of a known event type that this build cannot read yet."""
