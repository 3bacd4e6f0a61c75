"""Which languages a path may be in: a pinned table by file name and extension (DESIGN section 8, rule 10)."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import msgspec


class Language(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    type: str
    aliases: tuple[str, ...]
    extensions: tuple[str, ...]
    filenames: tuple[str, ...]


class _File(msgspec.Struct, frozen=True):
    about: dict[str, str]
    languages: tuple[Language, ...]


class _Table(NamedTuple):
    spellings: Mapping[str, str]
    by_filename: Mapping[bytes, frozenset[str]]
    by_extension: Mapping[bytes, frozenset[str]]


@cache
def _table() -> _Table:
    raw = files("streams.search.data").joinpath("languages.json").read_bytes()
    rows = msgspec.json.decode(raw, type=_File).languages
    spellings: dict[str, str] = {}
    by_filename: dict[bytes, set[str]] = {}
    by_extension: dict[bytes, set[str]] = {}
    for row in rows:
        for alias in row.aliases:
            spellings.setdefault(alias.lower(), row.name)
        for filename in row.filenames:
            by_filename.setdefault(filename.encode(), set()).add(row.name)
        for extension in row.extensions:
            by_extension.setdefault(extension.lower().encode(), set()).add(row.name)
    # A name is stronger than another language's alias.
    spellings.update({row.name.lower(): row.name for row in rows})
    return _Table(spellings, _frozen(by_filename), _frozen(by_extension))


def _frozen(table: Mapping[bytes, Iterable[str]]) -> dict[bytes, frozenset[str]]:
    return {key: frozenset(names) for key, names in table.items()}


def canonical(spelling: str) -> str | None:
    """The language's name for any case of its name or an alias (``golang`` -> ``Go``); None when unknown."""
    return _table().spellings.get(spelling.strip().lower())


def spellings() -> tuple[str, ...]:
    """Every name and alias, in lower case."""
    return tuple(_table().spellings)


def languages_of(path: bytes) -> frozenset[str]:
    """Names of the languages this path may be in: by its file name, else by its longest known extension.

    An extension shared by several languages belongs to all of them.
    """
    table = _table()
    name = path.rpartition(b"/")[2]
    by_name = table.by_filename.get(name)
    if by_name is not None:
        return by_name
    lowered = name.lower()
    dot = lowered.find(b".")
    while dot >= 0:
        found = table.by_extension.get(lowered[dot:])
        if found is not None:
            return found
        dot = lowered.find(b".", dot + 1)
    return frozenset()
