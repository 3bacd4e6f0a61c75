"""Why a rebuild, a swap or a way back is refused."""

from schemas.errors import MillstreamError


class RebuildRefused(MillstreamError):
    """What was asked for may not be done now; nothing was changed."""


class SomebodyElse(RebuildRefused):
    """Another worker holds the lock of this rebuild."""


class NoSuchRebuild(MillstreamError):
    """There is no rebuild of this number."""


class NoSuchGeneration(MillstreamError):
    """The projection has no generation of this number."""


class LockLost(MillstreamError):
    """The session that held the rebuild's lock is gone, or somebody else has it."""


class Stopped(MillstreamError):
    """The rebuild was paused or cancelled, or its process has to end; it can go on from its checkpoints."""


class RebuildFailed(MillstreamError):
    """The rebuild cannot go on by itself."""
