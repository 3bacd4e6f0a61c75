"""Generations that a reader names by number in place of the live ones: what was known at some time (DESIGN section 7)."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cache
from typing import Final

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from projections.catalogue import projection
from projections.generations import LiveGeneration, fingerprint, live_generations, schema_name
from projections.rebuild import store
from projections.rebuild.machine import RebuildState
from schemas.errors import MillstreamError

Chosen = Mapping[str, int]
"""Projection -> number of the generation to read."""

_WHOLE: Final = frozenset({RebuildState.READY, RebuildState.SWAPPED})
_BEING_FILLED: Final = frozenset({RebuildState.ORDERED, RebuildState.FILLING, RebuildState.VERIFYING})


class GenerationRefused(MillstreamError):
    """A generation cannot be read: it does not exist, it is not whole, or this build does not know its tables."""


class ChosenGeneration(LiveGeneration, frozen=True, kw_only=True):
    """One that was asked for by number. ``until`` or ``until_position``: where its replay ended on purpose."""

    until: datetime | None
    until_position: str | None


def chosen_generations(connection: Connection, at: Chosen) -> dict[str, LiveGeneration]:
    """The generations that ``at`` names, for a snapshot. Raises GenerationRefused, UnknownProjection."""
    live = live_generations(connection) if at else {}
    return {name: _chosen(connection, name, number, live.get(name)) for name, number in at.items()}


def unread(at: Chosen, read: Collection[str]) -> list[str]:
    """Projections that ``at`` names, and that are not read."""
    return sorted(name for name in at if name not in read)


def _chosen(connection: Connection, name: str, number: int, live: LiveGeneration | None) -> LiveGeneration:
    one = projection(name)
    if live is not None and live.number == number:
        return live
    schema = schema_name(name, number)
    found = _stamp(connection, schema)
    if found is None:
        raise GenerationRefused(
            f"{name} has no generation {number}",
            remedy=f"The page of operations lists them, and: millstream projection generations {name}",
        )
    version, made_of, created_at = found
    if (version, made_of) != (one.version, _fingerprint(name)):
        raise GenerationRefused(
            f"generation {number} of {name} was built by version {version} of the fold with its own tables; this build has "
            f"version {one.version} and cannot read it",
            remedy=f"Replay the past with this build: millstream projection rebuild {name} --until TIME",
        )
    rebuild = next((each for each in store.every(connection, name) if each.generation == number), None)
    if rebuild is not None:
        _check_whole(rebuild)
    return ChosenGeneration(
        projection=name,
        number=number,
        schema_name=schema,
        version=version,
        fingerprint=made_of,
        created_at=created_at,
        swapped_at=None,
        until=rebuild.until if rebuild is not None else None,
        until_position=rebuild.until_position if rebuild is not None else None,
    )


def _stamp(connection: Connection, schema: str) -> tuple[int, str, datetime] | None:
    """What the generation says of itself; None where it is not there."""
    there = connection.scalar(
        text(
            "select true from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = :schema and c.relname = 'generation'"
        ),
        {"schema": schema},
    )
    if not there:
        return None
    try:
        row = connection.execute(
            text(f'select version, fingerprint, created_at from "{schema}".generation')
        ).first()
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.UndefinedTable):
            return None  # dropped at this moment
        raise
    return None if row is None else (row.version, row.fingerprint, row.created_at)


def _check_whole(rebuild: store.Rebuild) -> None:
    if rebuild.state in _WHOLE or rebuild.verified_at is not None:
        return
    number, name = rebuild.generation, rebuild.projection
    if rebuild.state in _BEING_FILLED:
        raise GenerationRefused(
            f"generation {number} of {name} is being filled: {rebuild.events:,} of {rebuild.of_all:,} records are folded",
            remedy="Read it when its rebuild is READY.",
        )
    raise GenerationRefused(
        f"generation {number} of {name} is not whole: its rebuild is {rebuild.state.value}"
        + (f" ({rebuild.reason})" if rebuild.reason else ""),
        remedy=f"Let it go on: millstream projection resume {name}",
    )


@cache
def _fingerprint(name: str) -> str:
    return fingerprint(projection(name))
