"""Why a projection stops, and why a worker has to begin again."""

from schemas.errors import MillstreamError, MustStop


class Fenced(MillstreamError):
    """Another worker has taken these partitions, or this one's place on the log is not the checkpoint's."""


class SlotLost(MillstreamError):
    """The session that held this worker's slot is gone; another worker may have it by now."""


class LogMismatch(MustStop):
    """LOG_MISMATCH: the log is not the one that this generation was folded from."""


class LogTruncated(MustStop):
    """LOG_TRUNCATED: the log no longer holds what this generation has to read next."""


class FoldFailed(MustStop):
    """A fold or its writer has a bug: skipping the event would make the rows wrong."""


class FoldRaised(MillstreamError):
    """The pure part of a fold raised something; ``__cause__`` is what."""


def fold_raised(error: Exception) -> FoldRaised:
    """``error`` as raised by the pure part of a fold."""
    wrapped = FoldRaised(f"the fold failed: {error!r}")
    wrapped.__cause__ = error
    return wrapped
