"""Bounds of fields that JSON Schema cannot say: bytes, instants, the parts of a location. They are checked at decode.

What is a key or indexed in a database stays far below the 2,704 bytes of an index row; what becomes a path or an
argument of a program stays below what the operating system takes. So nothing that somebody publishes can make a
reader fail later.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

MAX_REQUEST_ID_BYTES: Final = 200
MAX_NAME_BYTES: Final = 1_000
MAX_MESSAGE_BYTES: Final = 4_000
MAX_PATH_BYTES: Final = 4_000
MAX_COMPONENT_BYTES: Final = 255
"""Of one folder name: what every common file system takes."""
MAX_CLONE_URL_BYTES: Final = 2_000
MAX_BRANCH_BYTES: Final = 1_000
MAX_QUERY_CHARACTERS: Final = 10_000

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9998
"""In UTC. One year short of what a datetime holds, so that any zone can show it and the next instant exists."""

_NO_CONTROL: Final = r"^[^\x00-\x1f]*$(?!\n)"
RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REQUEST_ID_BYTES)]
Creator = Annotated[str, msgspec.Meta(max_length=500)]
Code = Annotated[str, msgspec.Meta(max_length=100)]
"""A short word for programs: the reason of a failure, the name of an engine."""
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$(?!\n)")]
"""Eight bytes that follow from what they stand for: compared, never read."""
Message = Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_BYTES)]
"""A sentence for people."""
Query = Annotated[str, msgspec.Meta(max_length=MAX_QUERY_CHARACTERS)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PATH_BYTES, pattern=_NO_CONTROL)]
CloneUrl = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CLONE_URL_BYTES, pattern=_NO_CONTROL)]
Branch = Annotated[str, msgspec.Meta(max_length=MAX_BRANCH_BYTES, pattern=_NO_CONTROL)]

_SCP_SECRET: Final = re.compile(r":.*@[^/]*:|^[^/@]*:[^/]*@", re.DOTALL)
"""``user:password@host:path``: a colon before an ``@`` that a host follows. ``git@host:path`` has none."""


class FieldError(ValueError):
    """A field breaks a rule that its type cannot say; decoding errors then name the field itself."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def check_bytes(field: str, text: str | None, limit_bytes: int) -> None:
    """``text`` in UTF-8 has at most that many bytes. Raises FieldError."""
    if text is None or len(text) * 4 <= limit_bytes:
        return
    size_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > limit_bytes:
        raise FieldError(field, f"{size_bytes:,} bytes are more than the {limit_bytes:,} it may have")


def shortened(text: str, limit_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """``text`` cut to what ``check_bytes`` lets in, ending in an ellipsis where something was cut."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit_bytes:
        return data.decode()
    return data[: limit_bytes - 3].decode("utf-8", "ignore") + "\N{HORIZONTAL ELLIPSIS}"


def is_within_limits(instant: datetime) -> bool:
    """Whether an aware instant lies in the years that every reader can convert and count in."""
    if FIRST_YEAR < instant.year < LAST_YEAR:  # whatever the zone: it moves an instant by less than a day
        return True
    try:
        return FIRST_YEAR <= instant.astimezone(UTC).year <= LAST_YEAR
    except OverflowError:
        return False


def check_instant(field: str, instant: datetime) -> None:
    """``instant`` lies from 1970 to 9998, in UTC. Raises FieldError."""
    if not is_within_limits(instant):
        raise FieldError(field, f"has to lie in the years {FIRST_YEAR} to {LAST_YEAR} (UTC)")


def check_path(field: str, path: str | None) -> None:
    """No part is longer than a file system takes. Raises FieldError."""
    if path is None:
        return
    check_bytes(field, path, MAX_PATH_BYTES)
    for component in path.split("/"):
        if len(component.encode("utf-8", "surrogatepass")) > MAX_COMPONENT_BYTES:
            raise FieldError(field, f"a folder name is longer than {MAX_COMPONENT_BYTES} bytes")


def check_clone_url(field: str, url: str | None) -> None:
    """It can be read as a URL (or an scp-like address), and holds no credential. Raises FieldError.

    ``git@`` of ssh is no credential; a query or a fragment could hold one.
    """
    if url is None:
        return
    check_bytes(field, url, MAX_CLONE_URL_BYTES)
    scheme, separator, rest = url.partition("://")
    if "#" in url or (separator and "?" in rest):
        raise FieldError(field, "a clone URL has no query and no fragment: they could hold a credential")
    if not separator:
        if _SCP_SECRET.search(url):
            raise FieldError(field, "the address holds a credential: use a key of ssh instead")
        return
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and (":" in user or scheme.lower() in ("http", "https")):
        raise FieldError(field, "clone_url holds a credential: give it to git's credential store instead")
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError as error:
        raise FieldError(field, f"is no URL: {error}") from error
