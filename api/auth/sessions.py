"""Sessions of browsers: a signed cookie, and a CSRF token bound to it.

Nothing is kept on the server. The signing key is a file of mode 600: deleting it ends every session.
"""

import hmac
import secrets
from hashlib import sha256
from http.cookies import SimpleCookie
from pathlib import Path

import msgspec
from itsdangerous import BadSignature, URLSafeTimedSerializer

from api.auth.user import ADMIN_NAME
from infra.secret_file import kept_secret

COOKIE_PREFIX = "millstream_session"
LIFETIME_S = 7 * 24 * 3600
_SALT = "millstream.session"


class Session(msgspec.Struct, frozen=True):
    """An authenticated browser. ``id`` is random and appears in no URL. Whose it is says ``name``; what they may do is looked up."""

    id: str
    name: str


class Sessions:
    """Makes and reads session cookies under one key."""

    def __init__(self, key: str, *, lifetime_s: int = LIFETIME_S) -> None:
        self._key = key.encode()
        # browsers share cookies between ports: two installations on one machine must not end each other's sessions
        self.cookie_name = f"{COOKIE_PREFIX}_{sha256(self._key).hexdigest()[:8]}"
        self._serializer = URLSafeTimedSerializer(key, salt=_SALT, signer_kwargs={"digest_method": sha256})
        self._lifetime_s = lifetime_s

    @classmethod
    def of_home(cls, home: Path) -> "Sessions":
        """With the key kept in ``home/secrets``."""
        return cls(kept_secret(home / "secrets" / "session-key"))

    def begin(self, name: str = ADMIN_NAME, *, secure: bool) -> tuple[Session, str]:
        """A new session of the user ``name`` and its ``Set-Cookie`` value; ``secure`` when the page was asked for over TLS."""
        session = Session(secrets.token_urlsafe(16), name)
        written = str(self._serializer.dumps([session.id, session.name]))
        return session, self._cookie(written, self._lifetime_s, secure)

    def end(self, *, secure: bool) -> str:
        """The ``Set-Cookie`` value that removes the cookie."""
        return self._cookie("", 0, secure)

    def read(self, cookie_header: str) -> Session | None:
        """The session in a ``Cookie`` header; None when there is none, or it is expired or not ours."""
        for part in cookie_header.split(";"):
            name, _, value = part.strip().partition("=")
            if name != self.cookie_name:
                continue
            try:
                match self._serializer.loads(value, max_age=self._lifetime_s):
                    case [str() as identity, str() as whose]:
                        return Session(identity, whose)
            except BadSignature:
                continue
        return None

    def csrf_token(self, session: Session) -> str:
        """What a write of this session must show: only who can read our pages knows it."""
        return hmac.new(self._key, b"csrf\x1f" + session.id.encode(), sha256).hexdigest()

    def _cookie(self, value: str, max_age_s: int, secure: bool) -> str:
        cookie: SimpleCookie = SimpleCookie()
        cookie[self.cookie_name] = value
        morsel = cookie[self.cookie_name]
        morsel["path"] = "/"
        morsel["max-age"] = str(max_age_s)
        morsel["httponly"] = True
        morsel["samesite"] = "Strict"
        if secure:
            morsel["secure"] = True
        return morsel.OutputString()
