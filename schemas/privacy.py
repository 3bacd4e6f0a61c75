"""Which fields of events hold what: public, personal or secret (DESIGN section 3, "Never on the log").

A field says its class in its type: ``Sealed`` and ``SecretRef`` below, or ``classed(...)``. A field that says nothing is
public. What is secret cannot be in an event at all: it lies in the vault, and the event carries a ``SecretRef``. What is
personal stands there sealed with the key of the person whom it is about; without that key nobody reads it any more.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

_EXTRA: Final = "privacy"
_SCHEMA_KEY: Final = "x-privacy"
_SEALED_PATTERN: Final = r"^sealed:v1:[A-Za-z0-9_-]{38,1400}$(?!\n)"


class Privacy(StrEnum):
    """The class of a field."""

    PUBLIC = "public"
    PERSONAL = "personal"
    SECRET = "secret"


def classed(privacy: Privacy, *, pattern: str | None = None, max_length: int | None = None) -> msgspec.Meta:
    """What ``Annotated`` takes to give a text its class; the published schema says it too."""
    return msgspec.Meta(
        pattern=pattern,
        max_length=max_length,
        extra={_EXTRA: privacy.value},
        extra_json_schema={_SCHEMA_KEY: privacy.value},
    )


Sealed = Annotated[str, classed(Privacy.PERSONAL, pattern=_SEALED_PATTERN)]
"""A personal text under its subject's key (``infra.vault.Vault.seal``): anything else does not fit."""
RefText = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,40}:[A-Za-z0-9_-]{20,64}$(?!\n)")]
"""The name of something in the vault: its kind, and what says nothing about it."""
Fingerprint = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$(?!\n)")]
"""Equal for equal secrets of one kind, made with the vault's key: nobody else can try secrets against it."""


class SecretRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Stands on the log where a secret, or an address, would be: the name under which the vault keeps it."""

    ref: RefText
    fingerprint: Fingerprint


class ClassedField(msgspec.Struct, frozen=True):
    """A field of a payload that is not public: its path, and whether only sealed text fits."""

    path: str
    privacy: Privacy
    is_sealed: bool


def classed_fields(payload: type[msgspec.Struct]) -> list[ClassedField]:
    """Every field of a payload, at every depth, that has another class than public."""
    return list(_fields(msgspec.inspect.type_info(payload), "$", frozenset()))


def refusal(payload: type[msgspec.Struct]) -> str | None:
    """Why no event may have this payload; None when it may."""
    for field in classed_fields(payload):
        if field.privacy is Privacy.SECRET:
            return f"{field.path} is secret: put it into the vault, and let the event carry a SecretRef"
        if field.privacy is Privacy.PERSONAL and not field.is_sealed:
            return f"{field.path} is personal: only Sealed text of it may stand on the log"
    return None


def _fields(found: Any, path: str, above: frozenset[type]) -> Iterator[ClassedField]:
    match found:
        case msgspec.inspect.Metadata():
            privacy = Privacy((found.extra or {}).get(_EXTRA, Privacy.PUBLIC))
            if privacy is Privacy.PUBLIC:
                yield from _fields(found.type, path, above)
            else:
                yield ClassedField(path, privacy, getattr(found.type, "pattern", None) == _SEALED_PATTERN)
        case msgspec.inspect.StructType() if found.cls not in above:
            for field in found.fields:
                yield from _fields(field.type, f"{path}.{field.encode_name}", above | {found.cls})
        case msgspec.inspect.UnionType():
            for one in found.types:
                yield from _fields(one, path, above)
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            yield from _fields(found.item_type, f"{path}[]", above)
        case msgspec.inspect.TupleType():
            for one in found.item_types:
                yield from _fields(one, f"{path}[]", above)
        case msgspec.inspect.DictType():
            yield from _fields(found.key_type, f"{path}{{}}", above)
            yield from _fields(found.value_type, f"{path}{{}}", above)
