"""One document of an index: checked field by field, and brought into the form in which it is kept. Pure.

That form is a ``scip.Document`` without its path: first everything else, then occurrences by range, then symbols by name. So two
documents that say the same are the same bytes, whatever their order and path.
"""

from typing import Final, NamedTuple

from streams.uploads.errors import MalformedIndex
from streams.uploads.paths import check_path
from streams.uploads.symbols import NoSymbol, Symbols
from streams.uploads.wire import LENGTH, VARINT, end_of, length, numbers, tag, varint

_PATH: Final = 1
_OCCURRENCES: Final = 2
_SYMBOLS: Final = 3
_SYMBOL_RELATIONSHIPS: Final = 4
_DEFINITION: Final = 1
_MAX_INT32: Final = (1 << 31) - 1

# Tags of one byte, as they stand in nearly every occurrence.
_T_RANGE_PACKED: Final = 0x0A
_T_SYMBOL: Final = 0x12
_T_ROLES: Final = 0x18
_T_SYNTAX: Final = 0x28
_T_ENCLOSING: Final = 0x3A
_T_RANGE: Final = 0x08
_T_OCCURRENCE: Final = 0x12
_WITH_LENGTH: Final = frozenset((_T_RANGE_PACKED, _T_SYMBOL, _T_ENCLOSING))
_NUMBERS: Final = frozenset((_T_ROLES, _T_SYNTAX))

Range = tuple[int, int, int, int]
Occurrence = tuple[Range, bytes, bytes]
"""(range, symbol, the field as it stands): sorts as the kept form does."""
Information = tuple[bytes, bytes]
"""(symbol, the field as it stands)."""


class Document(NamedTuple):
    """What a document says. ``others`` are its other fields, as they stand, by number."""

    path: str
    occurrences: list[Occurrence]
    symbols: list[Information]
    others: dict[int, bytes]

    def merged(self, earlier: "Document") -> "Document":
        """This one and an earlier one of the same path: what both say stands once."""
        return Document(
            self.path,
            list(dict.fromkeys(earlier.occurrences + self.occurrences)),
            list(dict.fromkeys(earlier.symbols + self.symbols)),
            self.others | earlier.others,
        )

    def payload(self) -> bytes:
        """The form in which it is kept."""
        parts = [self.others[number] for number in sorted(self.others)]
        parts += [raw for _, _, raw in sorted(self.occurrences)]
        parts += [raw for _, raw in sorted(self.symbols)]
        return b"".join(parts)


def read_document(raw: bytes, base: int, symbols: Symbols) -> Document:
    """The document in ``raw``, whose first byte is byte ``base`` of the index; what it names is added to ``symbols``.

    The path is empty where none stands there. Raises MalformedIndex, with document and byte.
    """
    reader = _Reader(raw, symbols)
    try:
        return reader.read()
    except (MalformedIndex, IndexError, NoSymbol) as error:
        at = reader.at
        if isinstance(error, MalformedIndex):
            code, message = error.code, error.message
            at = max(at, error.byte_offset or 0)
        elif isinstance(error, NoSymbol):
            code, message = "malformed-symbol", str(error)
        else:
            code, message = "truncated", "a field is longer than what it is part of"
        document = path_in(raw)
        raise MalformedIndex(code, message, byte_offset=base + at, document=document) from error


def read_information(raw: bytes, base: int, symbols: Symbols) -> Information:
    """A ``SymbolInformation`` outside any document. Raises MalformedIndex."""
    reader = _Reader(raw, symbols)
    try:
        return reader.information(0, len(raw)), raw
    except (IndexError, NoSymbol) as error:
        is_cut = isinstance(error, IndexError)
        code = "truncated" if is_cut else "malformed-symbol"
        message = "a field is longer than what it is part of" if is_cut else str(error)
        raise MalformedIndex(code, message, byte_offset=base + reader.at) from error
    except MalformedIndex as error:
        raise MalformedIndex(
            error.code, error.message, byte_offset=base + (error.byte_offset or 0)
        ) from error


def path_in(raw: bytes) -> str:
    """The path of a document that may be wrong otherwise; empty where none is found."""
    at = 0
    try:
        while at < len(raw):
            number, wire_type, at = tag(raw, at)
            end = end_of(raw, at, wire_type)
            if number == _PATH and wire_type == LENGTH:
                start, end = length(raw, at)
                return raw[start:end].decode("utf-8", "replace")[:1_000]
            at = end
    except (MalformedIndex, IndexError):
        return ""
    return ""


class _Reader:
    """Walks one document. ``at`` is where the field begins that is looked at, so that an error can say it."""

    def __init__(self, raw: bytes, symbols: Symbols) -> None:
        self.at = 0
        self._raw = raw
        self._symbols = symbols

    def read(self) -> Document:
        raw, end = self._raw, len(self._raw)
        path = ""
        occurrences: list[Occurrence] = []
        informations: list[Information] = []
        others: dict[int, bytes] = {}
        at = 0
        occurrence = self._occurrence
        while at < end:
            self.at = at
            if raw[at] == _T_OCCURRENCE:
                size = raw[at + 1]
                body = at + 2
                if size >= 0x80:
                    size, body = varint(raw, at + 1)
                stop = body + size
                if stop > end:
                    raise IndexError
                where, symbol = occurrence(body, stop)
                occurrences.append((where, symbol, raw[at:stop]))
                at = stop
                continue
            number, wire_type, body = tag(raw, at)
            stop = end_of(raw, body, wire_type)
            if number in (_PATH, _OCCURRENCES, _SYMBOLS) and wire_type != LENGTH:
                raise MalformedIndex("malformed-document", f"field {number} of a document has another type")
            if number == _PATH:
                start, stop = length(raw, body)
                path = check_path(raw[start:stop])
            elif number == _SYMBOLS:
                start, stop = length(raw, body)
                informations.append((self.information(start, stop), raw[at:stop]))
            elif number == _OCCURRENCES:  # its tag was written in a longer way than is needed
                raise MalformedIndex("malformed-tag", "this is no field of a message", byte_offset=at)
            else:
                others[number] = others.get(number, b"") + raw[at:stop]
            at = stop
        return Document(path, occurrences, informations, others)

    def _occurrence(self, at: int, stop: int) -> tuple[Range, bytes]:
        """Range and symbol of the occurrence between the two. Raises IndexError, MalformedIndex, NoSymbol."""
        raw = self._raw
        packed = symbol = b""
        single: list[int] | None = None
        roles = 0
        while at < stop:
            first = raw[at]
            if first in _WITH_LENGTH:
                size = raw[at + 1]
                at += 2
                if size >= 0x80:
                    size, at = varint(raw, at - 1)
                value = raw[at : at + size]
                at += size
                if first == _T_SYMBOL:
                    symbol = value
                elif first == _T_RANGE_PACKED:
                    packed += value
                else:
                    _range(value)
            elif first in _NUMBERS:
                value_of = raw[at + 1]
                at += 2
                if value_of >= 0x80:
                    value_of, at = varint(raw, at - 1)
                if first == _T_ROLES:
                    roles = value_of
            elif first == _T_RANGE:
                number, at = varint(raw, at + 1)
                single = [*(single or ()), number]
            else:
                number, wire_type, at = tag(raw, at)
                if number <= 3 or number == 5:
                    raise MalformedIndex(
                        "malformed-occurrence", f"field {number} of an occurrence has another type"
                    )
                at = end_of(raw, at, wire_type)
        if at != stop:
            raise IndexError
        known = self._symbols.known
        package = known[symbol] if symbol in known else self._symbols.look(symbol)
        if package is not None and roles & _DEFINITION:
            self._symbols.provided.add(package)
        if single is None:
            return _range(packed), symbol
        return _checked([*numbers(packed), *single]), symbol

    def information(self, at: int, stop: int) -> bytes:
        """The symbol of the ``SymbolInformation`` between the two, whose relationships name symbols too."""
        raw, symbol = self._raw[at:stop], b""
        self.at = at
        at, end = 0, len(raw)
        while at < end:
            number, wire_type, body = tag(raw, at)
            if number == 1 or number == _SYMBOL_RELATIONSHIPS:
                if wire_type != LENGTH:
                    raise MalformedIndex("malformed-symbol", f"field {number} of a symbol has another type")
                start, at = length(raw, body)
                named = raw[start:at]
                if number == 1:
                    symbol = named
                else:
                    named = _relationship(named)
                if named not in self._symbols.known:
                    self._symbols.look(named)
            else:
                at = end_of(raw, body, wire_type)
        if not symbol:
            raise MalformedIndex("malformed-symbol", "a symbol's information does not say whose it is")
        return symbol


def _relationship(raw: bytes) -> bytes:
    at, symbol = 0, b""
    while at < len(raw):
        number, wire_type, body = tag(raw, at)
        at = end_of(raw, body, wire_type)
        if number == 1:
            if wire_type != LENGTH:
                raise MalformedIndex("malformed-symbol", "a relationship's symbol has another type")
            start, end = length(raw, body)
            symbol = raw[start:end]
        elif number <= 5 and wire_type != VARINT:
            raise MalformedIndex("malformed-symbol", f"field {number} of a relationship has another type")
    return symbol


def _range(packed: bytes) -> Range:
    """A range of three or four numbers, in order. Raises MalformedIndex, IndexError."""
    size = len(packed)
    if packed.isascii():  # every number is one byte
        if size == 4:
            a, b, c, d = packed
            if c > a or (c == a and d >= b):
                return a, b, c, d
        elif size == 3:
            a, b, d = packed
            if d >= b:
                return a, b, a, d
    return _checked(numbers(packed))


def _checked(found: list[int]) -> Range:
    if len(found) not in (3, 4):
        raise MalformedIndex("malformed-range", f"a range has 3 or 4 numbers, this one {len(found)}")
    if max(found) > _MAX_INT32:
        raise MalformedIndex("malformed-range", "a range has a number below 0 or above 2^31 - 1")
    a, b, c, d = found if len(found) == 4 else (found[0], found[1], found[0], found[2])
    if (c, d) < (a, b):
        raise MalformedIndex("malformed-range", f"the range {found} ends before it begins")
    return a, b, c, d
