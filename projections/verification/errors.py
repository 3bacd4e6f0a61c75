"""Why a generation cannot be compared with the log."""

from schemas.errors import MillstreamError


class CannotVerify(MillstreamError):
    """Nothing is known to be wrong, and nothing is known to be right."""
