"""Who may state what through ``POST /events``."""

from typing import get_type_hints

from api.http.events_permitted import AUTHORS
from schemas.limits import Creator
from schemas.registry import REGISTRY, Audience

ADDRESSEES = {"recipient"}
"""Users of whom an event speaks, and who did not say it."""


def test_every_field_that_says_who_did_it_is_compared_with_the_caller() -> None:
    named = {
        name
        for one in REGISTRY
        if one.audience is Audience.EXTERNAL
        for name, kind in get_type_hints(one.payload, include_extras=True).items()
        if kind == Creator
    }
    assert {"owner", "creator", "changed_by", "deleted_by", "requested_by"} <= named
    assert named - ADDRESSEES <= set(AUTHORS)
