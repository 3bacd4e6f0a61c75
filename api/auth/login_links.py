"""One-time login links: made by any process on this machine, good once, for a short while (DESIGN section 10).

A link is a random token; of it only the SHA-256 is kept, as the name of a file of mode 600 in ``home/login``, whose
content is when it expires, and whom it logs in. Taking it is removing the file, which only one process can do.
"""

import hashlib
import re
import secrets
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

from api.auth.user import ADMIN_NAME
from infra.secret_file import write_new

LOGIN_PATH = "/login"
VALID_FOR_S = 900.0
_LOCAL_PATH = re.compile(r"/|(?:/[A-Za-z0-9_=.~-]+)+/?")


def make_login_link(
    home: Path,
    base_url: str,
    *,
    user: str = ADMIN_NAME,
    valid_for_s: float = VALID_FOR_S,
    now_s: float | None = None,
) -> str:
    """A URL on the server of ``base_url`` that logs its first visitor in as ``user``, within ``valid_for_s`` seconds.

    The visitor goes on to the path of ``base_url``, where it has one that :func:`local_path` takes.
    """
    now_s = time.time() if now_s is None else now_s
    folder = home / "login"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _forget_expired(folder, now_s)
    token = secrets.token_urlsafe(32)
    write_new(folder / _name(token), f"{now_s + valid_for_s:.3f} {user}\n")
    parts = urlsplit(base_url)
    goal = "" if local_path(parts.path) == "/" else f"to={quote(parts.path, safe='/')}&"
    return f"{parts.scheme}://{parts.netloc}{LOGIN_PATH}?{goal}token={token}"


def local_path(text: str) -> str:
    """``text`` when it is a plain path on this server, else ``/``: a link must lead to no other site."""
    return text if _LOCAL_PATH.fullmatch(text) else "/"


def take_login_token(home: Path, token: str, *, now_s: float | None = None) -> str | None:
    """Whom ``token`` logs in, where it was good; from now on it is not."""
    now_s = time.time() if now_s is None else now_s
    path = home / "login" / _name(token)
    try:
        expires_s, user = _read(path)
        path.unlink()
    except (FileNotFoundError, ValueError):
        return None
    return user if now_s < expires_s else None


def _read(path: Path) -> tuple[float, str]:
    """When a link expires, and whom it logs in. Raises FileNotFoundError, ValueError."""
    expires_s, _, user = path.read_text(encoding="ascii").strip().partition(" ")
    return float(expires_s), user or ADMIN_NAME


def _name(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _forget_expired(folder: Path, now_s: float) -> None:
    for path in folder.iterdir():
        try:
            expired = _read(path)[0] <= now_s
        except FileNotFoundError:
            continue
        except ValueError:
            expired = True
        if expired:
            path.unlink(missing_ok=True)
