"""``?generation=9``: a page as numbered generations have it, instead of the live ones, and the banner that says so."""

import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.web.answers import AsOf
from api.web.asking import Generations
from api.web.templating import clock, day

PARAMETER = "generation"
_DEFAULT = "series_points"
_GIVEN = re.compile(r"(?:([a-z][a-z0-9_]*):)?([0-9]{1,9})")


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What the banner says, a line per generation; ``query`` keeps the generations in addresses (``generation=9``)."""

    at: Generations
    lines: tuple[str, ...]
    query: str
    is_past: bool = True
    """Whether something newer is known: a generation that is kept current shows today."""


def generations_of(request: Request) -> Generations:
    """What the address asks for: ``?generation=9`` of series_points, ``?generation=insights:3``; also several.

    Raises HTTPException 404 where it is no such thing.
    """
    found: dict[str, int] = {}
    for text in request.query_params.getlist(PARAMETER):
        given = _GIVEN.fullmatch(text)
        if given is None or found.get(given[1] or _DEFAULT, int(given[2])) != int(given[2]):
            raise HTTPException(404)
        found[given[1] or _DEFAULT] = int(given[2])
    return tuple(sorted(found.items()))


def past(at: Generations, as_of: Sequence[AsOf]) -> Past | None:
    """The banner for ``at``; None where nothing but live generations was read."""
    if not at:
        return None
    answered = {entry.projection: entry for entry in as_of}
    return Past(
        at=at,
        lines=tuple(_line(name, number, answered.get(name)) for name, number in at),
        is_past=any(
            entry is None or entry.replayed_until is not None or entry.behind or entry.applied_up_to is None
            for entry in (answered.get(name) for name, _ in at)
        ),
        query=urlencode([(PARAMETER, _text(name, number)) for name, number in at]),
    )


def _line(name: str, number: int, entry: AsOf | None) -> str:
    if entry is not None and entry.replayed_until is not None:
        end = _moment(entry.replayed_until)
        return f"As of {end}: generation {number} of {name}, replayed until {end}."
    if entry is not None and entry.applied_up_to is not None:
        more = "; newer events are not in it" if entry.behind else ""
        return f"As of {_moment(entry.applied_up_to)}: generation {number} of {name}{more}."
    return f"Generation {number} of {name}, into which nothing was replayed."


def _moment(time: datetime) -> str:
    return f"{day(time)}, {clock(time)} UTC"


def _text(name: str, number: int) -> str:
    return str(number) if name == _DEFAULT else f"{name}:{number}"
