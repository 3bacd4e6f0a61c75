"""What people are told of a valid query, and why a series of captured values cannot be made of one."""

import pytest

from streams.search.query import QueryError, parse, validate_for_insight


@pytest.mark.parametrize(
    ("text", "notices"),
    [
        ("nosuch:field", ("nosuch: is no field and is searched for as text",)),
        ("foo OR nosuch:b", ("nosuch: is no field and is searched for as text",)),
        ("fiel:x", ("fiel: is no field and is searched for as text; did you mean file:?",)),
        ("foo AND", ("AND is searched for as text, since nothing stands after it",)),
        ("or foo", ("or is searched for as text, since nothing stands before it",)),
        ("and", ()),
        ("foo AND bar", ()),
        ("http://example.com", ()),
        ("std::vector", ()),
        ("TODO: x", ()),
        ("patternType:regexp 'foo and'", ()),
    ],
)
def test_what_looks_like_a_field_or_an_operator_and_is_text_is_told(
    text: str, notices: tuple[str, ...]
) -> None:
    assert parse(text).notices == notices


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        (r'"version=(\d+)"', "what stands in quotes is plain text, so its brackets are no group", 0),
        (r"file:x 'v=(\d+)'", "what stands in quotes is plain text, so its brackets are no group", 7),
        ('"version"', "a series of captured values needs a group in brackets", 0),
        ("version", "a series of captured values needs a group in brackets", 0),
    ],
)
def test_why_nothing_is_captured(text: str, reason: str, position: int) -> None:
    with pytest.raises(QueryError) as caught:
        validate_for_insight(parse(text, "regexp"), "capture")
    assert (caught.value.reason, caught.value.position) == (reason, position)
    assert caught.value.remedy


def test_slashes_keep_the_group() -> None:
    validate_for_insight(parse(r"/version=(\d+)/", "regexp"), "capture")
