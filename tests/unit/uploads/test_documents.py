"""Documents of an index against protobuf's own bytes: what is read, what is refused and where, and the form that is kept."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.uploads.documents import Document, read_document
from streams.uploads.errors import MalformedIndex
from streams.uploads.symbols import Package, Symbols
from tests.support.scip import document, message, occurrence, parsed, symbol

NUMBER = st.one_of(st.integers(0, 200), st.integers(0, 2**31 - 1))
SYMBOL = st.sampled_from(
    ["", "local 1", "local abc_2", symbol("A"), symbol("B"), symbol("C", "library", "2"), symbol("D" * 300)]
)
PATHS = st.sampled_from(["a.py", "src/a.py", "ä/b c.py", "deep/" * 30 + "x"])


@st.composite
def places(draw: st.DrawFn) -> list[int]:
    """A range: on one line, or over several."""
    line, first, last = draw(NUMBER), draw(NUMBER), draw(NUMBER)
    if draw(st.booleans()):
        return [line, min(first, last), max(first, last)]
    other = draw(NUMBER)
    (a, b), (c, d) = sorted([(line, first), (other, last)])
    return [a, b, c, d]


occurrences = st.builds(
    lambda place, name, roles, syntax, enclosing, docs: message(
        "Occurrence",
        range=place,
        symbol=name,
        symbol_roles=roles,
        syntax_kind=syntax,
        enclosing_range=enclosing,
        override_documentation=docs,
    ),
    places(),
    SYMBOL,
    st.integers(0, 127),
    st.integers(0, 40),
    st.one_of(st.just([]), places()),
    st.lists(st.text(max_size=5), max_size=2),
)
informations = st.builds(
    lambda name, docs, related, kind: message(
        "SymbolInformation",
        symbol=name,
        documentation=docs,
        kind=kind,
        relationships=[message("Relationship", symbol=one, is_reference=True) for one in related],
    ),
    SYMBOL.filter(bool),
    st.lists(st.text(max_size=200), max_size=3),
    st.lists(SYMBOL, max_size=2),
    st.integers(0, 90),
)
documents = st.builds(
    lambda path, found, symbols, language, text: message(
        "Document",
        relative_path=path,
        occurrences=found,
        symbols=symbols,
        language=language,
        text=text,
        position_encoding=1,
    ),
    PATHS,
    st.lists(occurrences, max_size=8),
    st.lists(informations, max_size=4),
    st.sampled_from(["", "python"]),
    st.text(max_size=300),
)


def read(raw: bytes) -> Document:
    return read_document(raw, 0, Symbols())


def refusal(raw: bytes, base: int) -> MalformedIndex | None:
    try:
        read_document(raw, base, Symbols())
    except MalformedIndex as error:
        return error
    return None


def where(one: Any) -> tuple[int, ...]:
    found = tuple(one.range)
    return found if len(found) == 4 else (found[0], found[1], found[0], found[2])


@given(documents)
def test_what_protobuf_writes_is_read_and_kept_without_loss(made: Any) -> None:
    found = read(made.SerializeToString())
    assert found.path == made.relative_path
    assert [(place, name) for place, name, _ in found.occurrences] == [
        (where(one), one.symbol.encode()) for one in made.occurrences
    ]
    assert [name for name, _ in found.symbols] == [one.symbol.encode() for one in made.symbols]
    kept = parsed("Document", found.payload())
    assert (kept.relative_path, kept.language, kept.text) == ("", made.language, made.text)
    assert [where(one) for one in kept.occurrences] == sorted(where(one) for one in made.occurrences)
    for name in ("occurrences", "symbols"):
        assert sorted(one.SerializeToString() for one in getattr(kept, name)) == sorted(
            one.SerializeToString() for one in getattr(made, name)
        )


@given(documents, st.randoms(use_true_random=False))
def test_documents_that_say_the_same_are_kept_as_the_same_bytes(made: Any, random: Any) -> None:
    shuffled = {name: list(getattr(made, name)) for name in ("occurrences", "symbols")}
    for found in shuffled.values():
        random.shuffle(found)
    other = message(
        "Document",
        relative_path="elsewhere.py",
        language=made.language,
        text=made.text,
        position_encoding=1,
        **shuffled,
    )
    payload = read(made.SerializeToString()).payload()
    assert read(other.SerializeToString()).payload() == payload
    assert read(payload).payload() == payload, "what is kept is read again"


@given(documents, documents)
def test_two_documents_of_one_path_say_what_both_say_once(one: Any, two: Any) -> None:
    first, second = read(one.SerializeToString()), read(two.SerializeToString())
    merged = second.merged(first)
    assert set(merged.occurrences) == {*first.occurrences, *second.occurrences}
    assert len(merged.occurrences) == len(set(merged.occurrences))
    assert merged.merged(first).payload() == merged.payload()


@given(documents, st.integers(0, 400), st.integers(0, 255))
def test_a_broken_document_is_read_or_refused_with_its_place(made: Any, at: int, byte: int) -> None:
    raw = bytearray(made.SerializeToString())
    raw[at % len(raw)] = byte
    error = refusal(bytes(raw), 1_000)
    if error is not None:
        assert error.code
        assert error.byte_offset is not None
        assert 1_000 <= error.byte_offset <= 1_000 + len(raw)


@given(documents)
def test_a_document_that_ends_early_is_never_read_as_a_whole_one(made: Any) -> None:
    raw = made.SerializeToString()
    whole = read(raw)
    for end in range(max(0, len(raw) - 40), len(raw)):
        error = refusal(raw[:end], 0)
        assert error is not None or read(raw[:end]) != whole
        assert error is None or error.code in ("truncated", "malformed-path")


def test_packages_are_provided_where_a_symbol_is_defined_and_named_otherwise() -> None:
    symbols = Symbols()
    made = document(
        "a.py", [occurrence([0, 0, 1], symbol("A"), 1), occurrence([1, 0, 1], symbol("B", "library", "2"), 8)]
    )
    read_document(made.SerializeToString(), 0, symbols)
    own, library = Package("scip-test", "pip", "project", "1.0"), Package("scip-test", "pip", "library", "2")
    assert symbols.provided == {own}
    assert symbols.named == {own, library}


@pytest.mark.parametrize(
    ("made", "code", "at"),
    [
        (document("/etc/passwd"), "malformed-path", 0),
        (document("a/../b"), "malformed-path", 0),
        (document("a//b"), "malformed-path", 0),
        (document("a.py", [occurrence([1, 2])]), "malformed-range", 6),
        (document("a.py", [occurrence([1, 2, 3, 4, 5])]), "malformed-range", 6),
        (document("a.py", [occurrence([])]), "malformed-range", 6),
        (document("a.py", [occurrence([1, 5, 4])]), "malformed-range", 6),
        (document("a.py", [occurrence([2, 0, 1, 9])]), "malformed-range", 6),
        (document("a.py", [occurrence([1, -1, 4])]), "malformed-range", 6),
        (
            document("a.py", [occurrence([0, 0, 1]), occurrence([0, 0, 1], "nonsense")]),
            "malformed-symbol",
            13,
        ),
        (document("a.py", (), ["nonsense"]), "malformed-symbol", 8),
        (document("a.py", (), [""]), "malformed-symbol", 8),
    ],
)
def test_what_is_wrong_is_said_with_document_and_byte(made: Any, code: str, at: int) -> None:
    with pytest.raises(MalformedIndex) as caught:
        read_document(made.SerializeToString(), 100, Symbols())
    assert (caught.value.code, caught.value.byte_offset) == (code, 100 + at)
    assert caught.value.document == made.relative_path
    assert f"byte {100 + at}" in caught.value.shown
