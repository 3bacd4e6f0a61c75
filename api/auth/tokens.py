"""The admin's token: a file of mode 600 in the home folder, made at the first start (DESIGN section 10)."""

import secrets
from pathlib import Path

from api.auth.user import Means, User, local_admin
from infra.secret_file import kept_secret

TOKEN_FILE = "token"


def admin_token(home: Path) -> str:
    """The token in ``home/token``; made when there is none yet."""
    return kept_secret(home / TOKEN_FILE)


def presented_token(authorization: str) -> str | None:
    """The token of an ``Authorization: token T`` or ``Bearer T`` header, or None."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() not in ("token", "bearer"):
        return None
    return rest.strip() or None


def user_of_token(presented: str, expected: str) -> User | None:
    """The user whose token this is. Compares in constant time."""
    if secrets.compare_digest(presented.encode(), expected.encode()):
        return local_admin(Means.TOKEN)
    return None
