"""Node ids as the reference makes them: URL-safe base64 of ``Kind:`` and the JSON of the key."""

import base64
import binascii

import orjson

from api.commands.errors import InputRefused

INSIGHT = "insight_view"
"""Its key is a string, as in the reference."""
REPOSITORY = "Repository"
USER = "User"
SITE = "site"


def node_id(kind: str, key: int | str) -> str:
    """``insight_view:"12"`` or ``Repository:12``, in base64."""
    return base64.urlsafe_b64encode(kind.encode() + b":" + orjson.dumps(key)).decode()


def insight_node_id(insight_id: int) -> str:
    return node_id(INSIGHT, str(insight_id))


def repository_node_id(repository_id: int) -> str:
    return node_id(REPOSITORY, repository_id)


def parse_node_id(text: str, field: str = "id") -> tuple[str, str]:
    """(kind, key as text). Raises InputRefused."""
    try:
        kind, separator, key = base64.urlsafe_b64decode(text.encode()).partition(b":")
        value = orjson.loads(key)
        if not separator or not isinstance(value, int | str) or isinstance(value, bool):
            raise ValueError
        return kind.decode("ascii"), str(value)
    except (binascii.Error, ValueError) as error:
        raise InputRefused(field, f"{text!r} is no id", remedy="Use an id that the API gave.") from error


def insight_id_of(text: str, field: str = "id") -> int:
    """The insight's number. Raises InputRefused for an id of another kind."""
    return _number(text, INSIGHT, field)


def repository_id_of(text: str, field: str = "id") -> int:
    """The repository's number. Raises InputRefused for an id of another kind."""
    return _number(text, REPOSITORY, field)


def _number(text: str, kind: str, field: str) -> int:
    found, key = parse_node_id(text, field)
    if found != kind or not key.isascii() or not key.isdigit():
        raise InputRefused(
            field, f"{text!r} is no id of this kind", remedy=f"An id of kind {kind} is needed."
        )
    return int(key)
