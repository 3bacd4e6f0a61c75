"""What a field holds is said in its type, and an event that would bring a secret onto the log cannot be registered."""

import re
from typing import Annotated

import msgspec
import pytest

from schemas.events import REGISTRY, UserCreated
from schemas.limits import Creator
from schemas.privacy import Privacy, Sealed, SecretRef, classed, classed_fields
from schemas.registry import Audience, EventType, Part, Payload, Registry
from schemas.topics import Topic
from schemas.validation import problems

Secret = Annotated[str, classed(Privacy.SECRET)]
Address = Annotated[str, classed(Privacy.PERSONAL)]


class Hook(Part, frozen=True, kw_only=True):
    url: Secret


class WithSecret(Payload, frozen=True, kw_only=True):
    token: Secret


class WithNestedSecret(Payload, frozen=True, kw_only=True):
    hooks: list[Hook] | None = None


class WithAddress(Payload, frozen=True, kw_only=True):
    email: Address | None = None


class WithSealed(Payload, frozen=True, kw_only=True):
    email: Sealed
    hook: SecretRef
    creator: Creator = ""


def registered(payload: type[Payload]) -> EventType:
    return Registry().add(
        EventType(
            name="millstream.thing.made",
            version=1,
            payload=payload,
            topics=(Topic.ACCOUNTS,),
            key=str,
            subject=str,
            audience=Audience.INTERNAL,
            guarded=False,
            summary="",
        )
    )


@pytest.mark.parametrize(
    ("payload", "path"),
    [(WithSecret, "$.token"), (WithNestedSecret, "$.hooks[].url"), (WithAddress, "$.email")],
)
def test_secrets_and_clear_personal_texts_cannot_be_registered(payload: type[Payload], path: str) -> None:
    with pytest.raises(ValueError, match=re.escape(path)):
        registered(payload)


def test_what_is_sealed_or_only_named_can() -> None:
    assert registered(WithSealed).payload is WithSealed
    assert [(one.path, one.privacy) for one in classed_fields(WithSealed)] == [("$.email", Privacy.PERSONAL)]


def test_clear_text_does_not_fit_where_sealed_text_belongs() -> None:
    data = msgspec.json.encode(
        {"user_id": 1, "username": "a", "created_by": "b", "display_name": "Ann Smith"}
    )
    assert [one.path for one in problems("millstream.user.created", 1, data)] == ["$.display_name"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(data, type=UserCreated)


_TELLING = re.compile(r"password|secret|credential|e?mail|address|phone|webhook|api_?key|token|display_name")
_PUBLIC = frozenset(
    {
        ("millstream.user.created", "$.email_ref"),  # the name under which the vault keeps it
        ("millstream.user.updated", "$.email_ref"),
        ("millstream.user.updated", "$.email_removed"),
        ("millstream.organization.created", "$.display_name"),  # of no person
        ("millstream.token.created", "$.token_id"),
        ("millstream.token.created", "$.token_sha256"),
        ("millstream.token.revoked", "$.token_id"),
    }
)


def test_a_field_whose_name_tells_of_secrets_or_people_is_classed_or_known_to_be_harmless() -> None:
    """A new one fails this until somebody has thought about it."""
    found = {
        (one.name, f"$.{field.encode_name}")
        for one in REGISTRY
        for field in msgspec.structs.fields(one.payload)
        if _TELLING.search(field.name)
    }
    classed_ones = {(one.name, field.path) for one in REGISTRY for field in classed_fields(one.payload)}
    assert found - classed_ones == _PUBLIC
