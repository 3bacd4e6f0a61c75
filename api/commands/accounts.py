"""What may be said about accounts: names, addresses, scopes. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from api.commands.errors import InputRefused
from schemas.accounts.names import LOCAL_ADMIN, MAX_NAME_CHARACTERS, is_name
from schemas.events import Scope

ALL_OF_USER: Final = "user:all"
"""The reference's scope: all that the user may."""
MAX_EMAIL_CHARACTERS: Final = 254
MAX_DISPLAY_NAME_CHARACTERS: Final = 200
MAX_NOTE_CHARACTERS: Final = 500
MAX_DURATION_S: Final = 10 * 366 * 24 * 3600
_EMAIL: Final = re.compile(r"[^\s@<>()\[\],;:\"\\\x00-\x20]{1,64}@[^\s@<>()\[\],;:\"\\\x00-\x20]+\.?[^\s@.]+")


def account_name(given: str, field: str) -> str:
    """A name in lower case. Raises InputRefused."""
    name = given.strip().lower()
    if not is_name(name):
        raise InputRefused(
            field,
            f"no account can be called so: letters, digits and single - . _ between them, at most {MAX_NAME_CHARACTERS}",
            remedy="Give another name.",
        )
    if name == LOCAL_ADMIN:
        raise InputRefused(
            field,
            f"{LOCAL_ADMIN} is the local admin: whoever has the token file of the installation",
            remedy="Give another name.",
        )
    return name


def email_address(given: str, field: str = "email") -> str:
    """An address. Raises InputRefused, which does not repeat it."""
    address = given.strip()
    if len(address) > MAX_EMAIL_CHARACTERS or not _EMAIL.fullmatch(address):
        raise InputRefused(field, "this is no e-mail address", remedy="Give one like name@example.com.")
    return address


def display_name(given: str | None) -> str | None:
    """A name for people; None where there is none. Raises InputRefused."""
    text = (given or "").strip()
    if len(text) > MAX_DISPLAY_NAME_CHARACTERS or not text.isprintable():
        raise InputRefused(
            "displayName", f"has to be one line of at most {MAX_DISPLAY_NAME_CHARACTERS} characters"
        )
    return text or None


def scopes(given: Sequence[str]) -> list[Scope]:
    """What a token is for. Raises InputRefused."""
    if not given:
        raise InputRefused("scopes", "a token needs at least one scope", remedy=_known())
    found: set[Scope] = set()
    for one in given:
        if one == ALL_OF_USER:
            found |= set(Scope)
            continue
        try:
            found.add(Scope(one))
        except ValueError as error:
            raise InputRefused("scopes", f"there is no scope {one!r}", remedy=_known()) from error
    return [one for one in Scope if one in found]


def note(given: str) -> str:
    """What a token is for, in words. Raises InputRefused."""
    text = given.strip()
    if not text or len(text) > MAX_NOTE_CHARACTERS or not text.isprintable():
        raise InputRefused(
            "note",
            f"has to say what the token is for, in one line of at most {MAX_NOTE_CHARACTERS} characters",
            remedy="A word suffices: who uses it, and where.",
        )
    return text


def duration_s(given: int | None) -> int | None:
    """How long a token holds; None: until it is revoked. Raises InputRefused."""
    if given is not None and not 1 <= given <= MAX_DURATION_S:
        raise InputRefused("durationSeconds", f"has to lie from 1 to {MAX_DURATION_S:,}")
    return given


def _known() -> str:
    return "Name some of " + ", ".join([*Scope, ALL_OF_USER]) + "."
