"""The query language: documented examples, positions of errors, and properties over generated queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.search.query import PatternType, Query, QueryError, ResultType, YesNoOnly, parse, print_query
from streams.search.query.fields import Field
from streams.search.query.nodes import And, Node, Or, Parameter, Pattern, Piece


def literal(text: str, *, negated: bool = False) -> Pattern:
    return Pattern((Piece(text, False),), negated)


def regexp(*texts: str) -> Pattern:
    return Pattern(tuple(Piece(text, True) for text in texts))


def repo(value: str, *, negated: bool = False) -> Parameter:
    return Parameter(Field.REPO, value, negated)


def file(value: str, *, negated: bool = False) -> Parameter:
    return Parameter(Field.FILE, value, negated)


LITERAL_TABLE: list[tuple[str, Node]] = [
    ("TODO", literal("TODO")),
    ("foo bar", literal("foo bar")),
    ("foo  bar", literal("foo  bar")),
    ('"foo bar"', literal('"foo bar"')),
    ("/foo.*bar/", literal("/foo.*bar/")),
    ("foo.*bar", literal("foo.*bar")),
    ("r:a TODO", And((repo("a"), literal("TODO")))),
    ("-repo:b TODO", And((repo("b", negated=True), literal("TODO")))),
    ("NOT repo:b TODO", And((repo("b", negated=True), literal("TODO")))),
    ("f:\\.go$ -f:_test TODO", And((file("\\.go$"), file("_test", negated=True), literal("TODO")))),
    ("foo file:x bar", And((file("x"), literal("foo bar")))),
    ('file:"a b" x', And((file("a b"), literal("x")))),
    ("file:'a b' x", And((file("a b"), literal("x")))),
    ("file:a\\ b x", And((file("a b"), literal("x")))),
    ("repo:(a|b) x", And((repo("(a|b)"), literal("x")))),
    ("a or b", Or((literal("a"), literal("b")))),
    ("a OR b AND c", Or((literal("a"), And((literal("b"), literal("c")))))),
    ("(a or b) and c", And((Or((literal("a"), literal("b"))), literal("c")))),
    ("a and not b", And((literal("a"), literal("b", negated=True)))),
    ("NOT a", literal("a", negated=True)),
    ("foo NOT bar", And((literal("foo"), literal("bar", negated=True)))),
    ("repo:foo a or b and c", And((repo("foo"), Or((literal("a"), And((literal("b"), literal("c")))))))),
    ("a or b repo:foo", And((repo("foo"), Or((literal("a"), literal("b")))))),
    ("repo:a or repo:b", Or((repo("a"), repo("b")))),
    ("(repo:a or repo:b) TODO", And((Or((repo("a"), repo("b"))), literal("TODO")))),
    ("foo(bar)", literal("foo(bar)")),
    ("(foo bar)", literal("(foo bar)")),
    ("()", literal("()")),
    ("useState(", literal("useState(")),
    ("a)", literal("a)")),
    ("repo:a foo( or bar", And((repo("a"), Or((literal("foo("), literal("bar")))))),
    ("and", literal("and")),
    ("android or orange", Or((literal("android"), literal("orange")))),
    ("foo and", literal("foo and")),
    ("not", literal("not")),
    ("https://example.com", literal("https://example.com")),
    ("unknown:x", literal("unknown:x")),
    ('content:"a or b"', Parameter(Field.CONTENT, "a or b")),
    ("x -content:y", And((Parameter(Field.CONTENT, "y", True), literal("x")))),
    ("FILE:x A", And((file("x"), literal("A")))),
]

REGEXP_TABLE: list[tuple[str, Node]] = [
    ("fo+", regexp("fo+")),
    ("foo bar", regexp("foo", "bar")),
    ("(foo|bar)", regexp("(foo|bar)")),
    ("foo(bar|baz) qux", regexp("foo(bar|baz)", "qux")),
    ("/a b/", regexp("a b")),
    ('"a.b"', Pattern((Piece("a.b", False),))),
    ('"a.b" c+', Pattern((Piece("a.b", False), Piece("c+", True)))),
    ("a\\/b", regexp("a/b")),
    ("/a\\/b/", regexp("a/b")),
    ("foo\\ bar", regexp("foo\\ bar")),
    ("a(b or c)", And((regexp("a"), Or((regexp("b"), regexp("c")))))),
    ("(foo bar)", regexp("(foo bar)")),
]


@pytest.mark.parametrize(("text", "expected"), LITERAL_TABLE, ids=[text for text, _ in LITERAL_TABLE])
def test_literal_mode(text: str, expected: Node) -> None:
    assert parse(text, PatternType.LITERAL).node == expected


@pytest.mark.parametrize(("text", "expected"), REGEXP_TABLE, ids=[text for text, _ in REGEXP_TABLE])
def test_regexp_mode(text: str, expected: Node) -> None:
    assert parse(text, PatternType.REGEXP).node == expected


def test_the_text_overrides_the_default_pattern_type() -> None:
    query = parse("patternType:regexp a.b", PatternType.LITERAL)
    assert query.pattern_type is PatternType.REGEXP
    assert query.node == And((Parameter(Field.PATTERN_TYPE, "regexp"), regexp("a.b")))


def test_settings_of_the_whole_query() -> None:
    query = parse("type:path type:file count:7 timeout:1m fork:only archived:y TODO")
    assert query.types == {ResultType.PATH, ResultType.FILE}
    assert (query.count, query.timeout_s) == (7, 60.0)
    assert (query.fork, query.archived) == (YesNoOnly.ONLY, YesNoOnly.YES)
    unlimited = parse("count:all TODO")
    assert (unlimited.count, unlimited.timeout_s, unlimited.fork) == (None, None, None)


def test_a_misspelt_field_is_text_and_people_are_told() -> None:
    query = parse("fiel:x")
    assert query.node == literal("fiel:x")
    assert query.notices == ("fiel: is no field and is searched for as text; did you mean file:?",)


REFUSED: list[tuple[str, int, str]] = [
    ("", 0, "empty"),
    ("   ", 0, "empty"),
    ("TODO author:ada", 5, "author:"),
    ("committer:ada x", 0, "committer:"),
    ("x before:yesterday", 2, "before:"),
    ("x until:now", 2, "before:"),
    ("x since:now", 2, "after:"),
    ("x m:fix", 2, "message:"),
    ("rev:main x", 0, "rev:"),
    ("repo:a@v1 x", 6, "revisions"),
    ("select:repo x", 0, "select:"),
    ("visibility:any x", 0, "visibility:"),
    ("context:global x", 0, "context:"),
    ("index:no x", 0, "index:"),
    ("repohasfile:x y", 0, "repohasfile:"),
    ("repohascommitafter:x y", 0, "repohascommitafter:"),
    ("max:3 y", 0, "max:"),
    ("stable:yes y", 0, "stable:"),
    ("g:team y", 0, "repogroup:"),
    ("rule:x y", 0, "rule:"),
    ("type:symbol x", 5, "type:symbol"),
    ("type:commit x", 5, "type:commit"),
    ("type:fiel x", 5, "Did you mean file?"),
    ("patternType:structural x", 12, "patternType:structural"),
    ("patternType:regex x", 12, "Did you mean regexp?"),
    ("lang:pyton x", 5, "Did you mean python?"),
    ("case:maybe x", 5, "yes nor no"),
    ("count:0 x", 6, "above 0"),
    ("count:many x", 6, "above 0"),
    ("timeout:10 x", 8, "duration"),
    ("timeout:2m x", 8, "1m"),
    ("fork:perhaps x", 5, "only"),
    ("repo: x", 0, "needs a value"),
    ("-count:3 x", 0, "negated"),
    ("count:3 count:4 x", 8, "twice"),
    ("content:a content:b", 10, "twice"),
    ("a or (b count:3)", 8, "whole query"),
    ("repo:x or b", 0, "repo:"),
    ('file:"a', 5, "never closed"),
    ('file:"a\\q"', 7, "no escape"),
    ("file:( x", 5, "regular expression"),
    ("repo:a** x", 6, "regular expression"),
    ("repo:has.path(x) y", 5, "has.path"),
    ("file:has.content(x) y", 5, "has.content"),
    ("NOT (a or b)", 0, "NOT"),
    ("NOT -file:x y", 0, "negated already"),
    ("a and and b", 6, "missing"),
    ("a NOT ", 2, "NOT needs"),
    ("type:repo type:file x", 0, "type:repo"),
]


@pytest.mark.parametrize(
    ("text", "position", "words"), REFUSED, ids=[text or "empty" for text, _, _ in REFUSED]
)
def test_refused_with_its_position(text: str, position: int, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert caught.value.position == position
    assert words in caught.value.reason
    assert caught.value.length >= 1
    caret = str(caught.value).splitlines()[-1]
    assert caret.strip("^ \t") == ""


@pytest.mark.parametrize(
    ("text", "position"),
    [("a(", 0), ("x{2000}", 1), ("foo (?=bar)", 4), ("a\\1", 1), ("ok [z-a]", 4), ("(a)\\z++", 5)],
)
def test_every_pattern_is_checked_as_re2(text: str, position: int) -> None:
    with pytest.raises(QueryError, match="regular expression") as caught:
        parse(text, PatternType.REGEXP)
    assert caught.value.position == position


def test_the_caret_stands_under_the_fault() -> None:
    with pytest.raises(QueryError) as caught:
        parse("TODO author:ada")
    assert str(caught.value).splitlines()[1:] == ["TODO author:ada", "     ^^^^^^^^^^"]


WORDS = st.sampled_from(
    ["foo", "TODO", "a.b", "x+", "(y|z)", "fn(", ")", "and", "or", "not", "http://x", "é"]
)
QUOTED = st.sampled_from(['"a b"', "'c'", "/d e/", '"f\\"g"', "/h\\/i/"])
FILTERS = st.sampled_from(
    [
        "repo:a",
        "-repo:b$",
        "file:\\.go$",
        '-file:"x y"',
        "lang:go",
        "-lang:python",
        "case:yes",
        "type:file",
        "count:10",
        "timeout:5s",
        "fork:yes",
        "archived:no",
        'content:"p q"',
        "-content:r",
        "patternType:regexp",
        "NOT file:z",
    ]
)
ATOMS = st.one_of(WORDS, QUOTED, FILTERS, WORDS.map(lambda word: f"NOT {word}"))
TEXTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" ", "  ", " AND ", " or ", "\t"]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=8,
)


def parsed(text: str, pattern_type: PatternType) -> Query | None:
    try:
        return parse(text, pattern_type)
    except QueryError as error:
        refused = error
    assert 0 <= refused.position <= len(text)
    assert refused.length >= 1
    return None


@given(TEXTS, st.sampled_from(PatternType))
def test_what_is_printed_parses_to_the_same_query(text: str, pattern_type: PatternType) -> None:
    query = parsed(text, pattern_type)
    if query is not None:
        printed = print_query(query)
        assert parse(printed, pattern_type) == query
        assert print_query(parse(printed, pattern_type)) == printed


@given(TEXTS, st.sampled_from(PatternType))
def test_every_prefix_parses_or_says_where_it_fails(text: str, pattern_type: PatternType) -> None:
    for end in range(len(text) + 1):
        parsed(text[:end], pattern_type)


@given(st.text(max_size=60), st.sampled_from(PatternType))
def test_any_text_parses_or_says_where_it_fails(text: str, pattern_type: PatternType) -> None:
    query = parsed(text, pattern_type)
    if query is not None:
        assert parse(print_query(query), pattern_type) == query


def test_deep_brackets_are_refused_and_do_not_overflow() -> None:
    with pytest.raises(QueryError, match="deeply"):
        parse("(" * 500 + "a or b" + ")" * 500)
