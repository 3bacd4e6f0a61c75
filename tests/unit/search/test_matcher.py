"""Matcher v1 by a table of patterns with expected values, then against brute force on generated texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.search.matcher import file_captures, file_value, is_binary, searchable_text
from streams.search.plan import QueryPlan
from streams.search.query import parse
from streams.search.scanning import BufferScanner, Slice
from tests.support.brute_force import compiled, occurrences

LATIN = "caf\xe9 \xe9t\xe9".encode("latin-1")
UTF8 = "café été ſ K".encode()

TABLE: list[tuple[str, str, bytes, int]] = [
    # pattern type, query, blob, value
    ("literal", "TODO", b"TODO todo ToDo", 3),
    ("literal", "case:yes TODO", b"TODO todo ToDo", 1),
    ("literal", "aa", b"aaaaa", 2),
    ("literal", "a.b", b"a.b axb", 1),
    ("literal", '"a"', b'a "a" "A"', 2),
    ("literal", "/a/", b"a /a/", 1),
    ("literal", "a  b", b"a b a  b", 1),
    ("literal", "fn(", b"fn(x) fn (y)", 1),
    ("literal", "ÉTÉ", UTF8, 1),
    ("literal", "été", LATIN, 1),
    ("literal", "k", b"k K \xe2\x84\xaa", 3),
    ("literal", "s", "s S ſ".encode(), 3),
    ("literal", "k", b"\xff k \xe2\x84\xaa", 1),
    ("literal", "s", b"\xff \xc5\xbf", 0),
    ("regexp", "x*", b"xx y x", 2),
    ("regexp", "x*", b"yyy", 0),
    ("regexp", "x*|y", b"y", 0),
    ("regexp", "y|x*", b"yxy", 3),
    ("regexp", "^", b"a\nb\n", 0),
    ("regexp", "$", b"a\nb\n", 0),
    ("regexp", "\\b", b"foo bar", 0),
    ("regexp", "\\bfoo", b"foofoo foo xfoo foo-foo", 4),
    ("regexp", "a|ab|b", b"ab ab", 4),
    ("regexp", "ab|a|b", b"ab ab", 2),
    ("regexp", "^a", b"a\na\nba", 2),
    ("regexp", "a$", b"a\nab\na", 2),
    ("regexp", "a\\r?$", b"a\r\na\r\n", 2),
    ("regexp", "a$", b"a\r\na\r\n", 0),
    ("regexp", "a.b", b"a\nb a-b", 1),
    ("regexp", "a\\sb", b"a\nb a b", 2),
    ("regexp", "a[^x]b", b"a\nb axb", 1),
    ("regexp", "a\\n+b", b"a\n\n\nb a\nb", 2),
    ("regexp", "[a-z]+\\s+[a-z]+", b"one\ntwo three", 1),
    ("regexp", "foo bar", b"foo x bar\nfoo\nbar foobar", 2),
    ("regexp", '"a.b" c', b"a.b c axb c", 1),
    ("regexp", "caf.", LATIN, 1),
    ("regexp", "caf.", UTF8, 1),
    ("regexp", "\\w+", "é a".encode(), 1),
    ("regexp", "[à-ö]", LATIN, 3),
    ("regexp", "(?i:a)b", b"Ab AB", 2),
    ("regexp", "case:yes (?i:a)b", b"Ab AB", 1),
    ("regexp", "(?s)a.b", b"a\nb", 1),
    ("regexp", "\\Aa", b"a\na", 1),
    ("regexp", "a\\z", b"a\na", 1),
    ("regexp", "(?-m:^)a", b"a\na", 1),
    ("literal", "foo or oob", b"foob", 1),
    ("literal", "oob or foo", b"foob oob", 2),
    ("literal", "foo or foobar", b"foobar", 1),
    ("literal", "foo and bar", b"foo foo bar", 3),
    ("literal", "foo and bar", b"foo foo", 0),
    ("literal", "foo and not bar", b"foo foo", 2),
    ("literal", "foo and not bar", b"foo bar", 0),
    ("literal", "NOT foo", b"bar", 1),
    ("literal", "NOT foo", b"", 1),
    ("literal", "NOT foo", b"foo", 0),
    ("literal", "foo or not bar", b"qux", 1),
    ("literal", "foo or not bar", b"foo foo", 2),
    ("literal", "(foo and bar) or baz", b"foo baz", 1),
    ("literal", "foo -content:bar", b"foo", 1),
    ("literal", 'content:"a or b"', b"a or b, a", 1),
    ("literal", 'content:"def "', b"def a, def(, def b", 2),
    ("literal", "def ", b"def a, def(, def b", 3),
    ("regexp", "a and not x*", b"a x", 0),
    ("regexp", "a and not x*", b"a y", 1),
]


def value_of(query: str, pattern_type: str, blob: bytes) -> int:
    rule = QueryPlan(parse(query, pattern_type)).on_path(b"a.txt")
    assert rule.content is not None
    return file_value(rule.content, searchable_text(blob))


@pytest.mark.parametrize(("pattern_type", "query", "blob", "expected"), TABLE)
def test_table(pattern_type: str, query: str, blob: bytes, expected: int) -> None:
    assert value_of(query, pattern_type, blob) == expected


def buffer_of(blobs: list[bytes]) -> tuple[bytes, list[Slice]]:
    buffer, slices = bytearray(), []
    for blob in blobs:
        buffer += b"0123456789abcdef0123456789abcdef01234567 blob %d\n" % len(blob)
        slices.append(Slice(len(buffer), len(buffer) + len(blob), -1))
        buffer += blob + b"\n"
    return bytes(buffer), slices


def test_all_queries_and_blobs_in_one_buffer_count_as_one_by_one() -> None:
    expressions = []
    for pattern_type, query, _, _ in TABLE:
        rule = QueryPlan(parse(query, pattern_type)).on_path(b"a.txt")
        assert rule.content is not None
        expressions.append(rule.content)
    blobs = [blob for _, _, blob, _ in TABLE] + [b"", b"\n", b"blob 3\nblob", b"deadbeef"]
    for chosen in (blobs, [blob for blob in blobs if blob.isascii()] * 8):
        buffer, slices = buffer_of(chosen)
        for scanner in (
            BufferScanner(expressions),
            BufferScanner(expressions[:5]),
            BufferScanner(expressions[22:34]),
        ):
            for _ in range(3):  # the second and third time with what was learnt
                found = scanner.values(buffer, slices)
                for blob, values in zip(chosen, found, strict=True):
                    expected = tuple(file_value(part, searchable_text(blob)) for part in scanner.expressions)
                    assert (values.counts if values else (0,) * len(expected)) == expected, blob


TEXTS = st.text(alphabet="abxyAK \n\r\t-_1é€ſ", max_size=40)
# Explicit classes where Python's re and RE2 differ: \s holds \v in re, \w and \b are Unicode there.
PATTERNS = st.sampled_from(
    [
        "a", "ab|a", "a|ab", "x*", "x*y?", "[ab]+", "(?:ab)+", "a.b", "^a", "b$", "a[ \\t\\n\\r]b", "[^a]b",
        "y?x", "é", "[à-ÿ]", ".", "..", "a{2}", "(a)(b)?", "[ab]*?b", "^$", "^", "-_|_", "ſ", "€+",
    ]
)  # fmt: skip


@given(TEXTS, PATTERNS, st.booleans())
def test_counts_agree_with_brute_force(text: str, source: str, case_sensitive: bool) -> None:
    expected = len(occurrences(compiled(source, case_sensitive=case_sensitive), text))
    query = f"case:{'yes' if case_sensitive else 'no'} /{source}/"
    blobs = [text.encode()]
    if all(ord(char) < 256 for char in text) and not text.isascii():
        latin = text.encode("latin-1")
        try:
            latin.decode()
        except UnicodeDecodeError:
            blobs.append(latin)
    for blob in blobs:
        assert value_of(query, "regexp", blob) == expected


@pytest.mark.parametrize(("position", "binary"), [(7_999, True), (8_000, False), (8_001, False), (0, True)])
def test_binary_is_a_nul_in_the_first_8000_bytes(position: int, binary: bool) -> None:
    blob = b"a" * position + b"\0" + b"TODO"
    assert is_binary(blob) is binary


def captures_of(query: str, blob: bytes) -> dict[str, int]:
    rule = QueryPlan(parse(query, "regexp"), captures=True).on_path(b"a.txt")
    assert rule.content is not None
    return {
        value.decode(): count for value, count in file_captures(rule.content, searchable_text(blob)).items()
    }


def test_captured_values() -> None:
    blob = b"version=1.2 version=1.3 version= version=1.2"
    assert captures_of("version=([0-9.]*)", blob) == {"1.2": 2, "1.3": 1}
    assert captures_of("v(x)?ersion=", blob) == {}
    assert captures_of("(é+)", "é".encode() * 80) == {"é" * 50: 1}
    assert captures_of("(aé+)", b"a" + "é".encode() * 80) == {"a" + "é" * 49: 1}
