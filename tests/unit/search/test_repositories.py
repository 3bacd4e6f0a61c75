"""Which repositories a query chooses."""

import subprocess
import sys

import pytest

from streams.search.query import QueryError, parse, repository_filter, validate_for_insight


@pytest.mark.parametrize(
    ("query", "name", "expected"),
    [
        ("TODO", "host/org/a", True),
        ("repo:ORG/A TODO", "host/org/a", True),
        ("repo:^org TODO", "host/org/a", False),
        ("repo:org repo:b$ TODO", "host/org/a", False),
        ("repo:org -repo:a$ TODO", "host/org/a", False),
        ("repo:org -repo:a$ TODO", "host/org/b", True),
        ("(repo:a$ or repo:b$) TODO", "host/org/b", True),
        ("(repo:a$ or repo:b$) TODO", "host/org/c", False),
        ("repo:a$ or repo:b$", "host/org/b", True),
        ("type:repo org/a", "host/org/a", True),
        ("type:repo org/a", "host/org/b", False),
        ("org/a", "host/org/b", True),
    ],
)
def test_names(query: str, name: str, expected: bool) -> None:
    assert repository_filter(parse(query)).matches(name, fork=False, archived=False) is expected


@pytest.mark.parametrize("kind", ["fork", "archived"])
@pytest.mark.parametrize(
    ("text", "series", "plain", "special"),
    [
        ("", "all", True, False),
        ("", "explicit", True, True),
        ("{kind}:yes", "all", True, True),
        ("{kind}:no", "explicit", True, False),
        ("{kind}:only", "all", False, True),
    ],
)
def test_forks_and_archived(kind: str, text: str, series: str, plain: bool, special: bool) -> None:
    chosen = repository_filter(parse(f"{text.format(kind=kind)} TODO"), series)
    other = "archived" if kind == "fork" else "fork"
    assert chosen.matches("host/a", **{kind: False, other: False}) is plain
    assert chosen.matches("host/a", **{kind: True, other: False}) is special


def test_captures_need_a_regular_expression_with_a_group() -> None:
    validate_for_insight(parse("patternType:regexp version=(\\d+)"), "capture")
    validate_for_insight(parse("TODO"))
    with pytest.raises(QueryError, match="regular expression"):
        validate_for_insight(parse("TODO"), "capture")
    with pytest.raises(QueryError, match="group") as caught:
        validate_for_insight(parse("patternType:regexp abc"), "capture")
    assert caught.value.position == 19


def test_the_query_package_starts_no_process_and_knows_no_git() -> None:
    code = "import sys, streams.search.query; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "streams.search.query.parser" in loaded
    assert not [
        name for name in loaded if name.startswith(("streams.search.git", "faust", "kafka", "psycopg"))
    ]
