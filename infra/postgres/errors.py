"""What can go wrong between us and the database."""

from infra.postgres.dsn import masked_dsn
from schemas.errors import MillstreamError, MustStop


class DatabaseUnreachable(MillstreamError):
    """No database answers: waiting may help."""


class DatabaseRefused(MillstreamError):
    """The database answers and says no: an administrator has to do something."""


class WrongInstallation(MustStop):
    """Database and Kafka belong to different installations."""


def unreachable(dsn: str, error: Exception) -> DatabaseUnreachable:
    """The error for a server that does not answer; the password is not shown."""
    reason = " ".join(str(error).split())
    return DatabaseUnreachable(
        f"the database ({masked_dsn(dsn)}) does not answer: {reason}",
        remedy="see that it runs (millstream stack status), or correct MILLSTREAM_DATABASE_URL",
    )
