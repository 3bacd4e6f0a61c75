"""SCIP's symbols: whether a text is one, and of which package. Pure."""

import re
from typing import Final, NamedTuple

_FIELD: Final = r"((?:[^ ]|  )*+)"
"""Of scheme, manager, name and version; a blank in it is doubled."""
_SIMPLE: Final = r"[\w+\-$]+"
_NAME: Final = rf"(?:{_SIMPLE}|`(?:[^`]|``)+`)"
_DESCRIPTOR: Final = rf"(?:{_NAME}(?:[/#.:!]|\((?:{_SIMPLE})?\)\.)|\[{_NAME}\]|\({_NAME}\))"
_GLOBAL: Final = re.compile(rf"{_FIELD} {_FIELD} {_FIELD} {_FIELD} (?:{_DESCRIPTOR})++")
_LOCAL: Final = re.compile(r"local \S+")
"""The grammar has an identifier here; scip-python 0.6.6 writes ``local 8(x)`` for the parameter of a lambda."""
_REMEMBERED: Final = 50_000
_ABSENT: Final = "."


class Package(NamedTuple):
    """Whose symbol it is. Empty where the indexer did not say."""

    scheme: str
    manager: str
    name: str
    version: str


class NoSymbol(ValueError):
    """The text does not follow the grammar of symbols."""


def package_of(symbol: bytes) -> Package | None:
    """The package of a symbol; None of a local one, and of one whose package has no name or version. Raises NoSymbol."""
    try:
        text = symbol.decode()
    except UnicodeDecodeError as error:
        raise NoSymbol("is not UTF-8") from error
    if text.startswith("local "):
        if _LOCAL.fullmatch(text) is None:
            raise NoSymbol(f"{_cut(text)} is no local symbol")
        return None
    found = _GLOBAL.fullmatch(text)
    if found is None:
        raise NoSymbol(f"{_cut(text)} is no symbol")
    if not found[1]:
        raise NoSymbol(f"{_cut(text)} has no scheme")
    scheme, manager, name, version = (
        "" if one == _ABSENT else one.replace("  ", " ") for one in found.groups()
    )
    return Package(scheme, manager, name, version) if name and version else None


class Symbols:
    """The symbols of one index: each is looked at once, as long as it is remembered. What it names is collected."""

    def __init__(self) -> None:
        self.provided: set[Package] = set()
        """Packages of which a symbol is defined here."""
        self.named: set[Package] = set()
        self.known: dict[bytes, Package | None] = {b"": None}
        """Those that were looked at lately; no symbol at all is one too."""

    def look(self, symbol: bytes) -> Package | None:
        """``package_of``, remembered. Raises NoSymbol."""
        package = package_of(symbol)
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
            self.known[b""] = None
        self.known[symbol] = package
        if package is not None:
            self.named.add(package)
        return package


def _cut(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "\N{HORIZONTAL ELLIPSIS}")
