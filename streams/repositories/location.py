"""Where a clone is, and whether a clone URL may be followed. Pure."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from schemas.errors import MillstreamError

TRANSPORTS: Final = ("file", "https", "ssh")
_SCP_LIKE: Final = re.compile(r"^(?:[A-Za-z0-9._~-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!//|:)[^\s]+$")
_SCHEME: Final = re.compile(r"(?i)(data|file|ftps?|git|https?|javascript|mailto|ssh):")
"""What stands before a colon and is no host."""
_USER_INFO: Final = re.compile(r"(?<=//)[^/@\s]+@")


class CloneRefused(MillstreamError):
    """The repository cannot be made readable; ``reason`` is a code."""

    def __init__(self, reason: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


def mirror_path(home: Path, repository_id: int) -> Path:
    """The mirror of a repository that is given by URL."""
    return home / "mirrors" / f"{repository_id}.git"


def clone_path(home: Path, repository_id: int, path: str | None) -> Path:
    """The folder to read: ``path`` in place, else the mirror."""
    return Path(path) if path is not None else mirror_path(home, repository_id)


def check_clone_url(url: str) -> None:
    """Raises CloneRefused unless git may fetch from ``url``: file, https or ssh, and no password in it."""
    shown = without_credentials(url)
    if url.startswith("-") or any(character.isspace() or ord(character) < 32 for character in url):
        raise CloneRefused(
            "invalid-url", f"{shown!r} is no clone URL", remedy="Register it with a correct clone URL."
        )
    if "://" not in url:
        if _SCP_LIKE.match(url) and not _SCHEME.match(url):
            return
        raise CloneRefused(
            "transport-refused",
            f"{shown!r} is no URL that may be cloned",
            remedy="Use https://, ssh:// or file://.",
        )
    try:
        parts = urlsplit(url)
    except ValueError as error:  # such as a bracket without its end
        raise CloneRefused(
            "invalid-url", f"{shown!r} is no URL", remedy="Register it with a correct clone URL."
        ) from error
    if parts.scheme not in TRANSPORTS:
        raise CloneRefused(
            "transport-refused",
            f"{parts.scheme}:// is not followed",
            remedy="Use https://, ssh:// or file://.",
        )
    if parts.password is not None or (parts.scheme == "https" and parts.username):
        raise CloneRefused(
            "credentials-in-url",
            f"{shown} was given with credentials in it",
            remedy="Register it without them, and give them to git by a credential helper.",
        )


def without_credentials(text: str) -> str:
    """``text`` with the user part of every URL cut out."""
    return _USER_INFO.sub("", text)
