"""Names of accounts, and the ids that follow from them.

A name is given once and for ever: it is part of the ids of what its bearer creates. So the id of an account follows from its
name, and a second account of the same name is the same aggregate, which exists already.
"""

import re
from typing import Annotated, Final

import msgspec

from schemas.ids import stable_id

MAX_NAME_CHARACTERS: Final = 100
NAME_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9]|[-._](?=[a-z0-9]))*$(?!\n)"
AccountName = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=NAME_PATTERN)]
"""Of a user or an organisation: lower case, digits, and single ``-``, ``.``, ``_`` between them."""
LOCAL_ADMIN: Final = "admin"
"""Who has the machine: the token in the home's file, and the links of ``millstream login``. No account may be called so."""


def user_id(name: str) -> int:
    """The id of the user of this name, which is in lower case."""
    return stable_id(f"user\x1f{name}")


def organization_id(name: str) -> int:
    """The id of the organisation of this name, which is in lower case."""
    return stable_id(f"organization\x1f{name}")


def is_name(text: str) -> bool:
    """Whether an account may be called so."""
    return len(text) <= MAX_NAME_CHARACTERS and re.match(NAME_PATTERN, text) is not None


LOCAL_ADMIN_ID: Final = user_id(LOCAL_ADMIN)
