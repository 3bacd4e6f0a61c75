"""The pinned table of languages."""

import pytest

from streams.search.languages import canonical, languages_of, spellings


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"a.py", {"Python"}),
        (b"lib/Makefile", {"Makefile"}),
        (b"x/Dockerfile", {"Dockerfile"}),
        (b"a.h", {"C", "C++", "Objective-C"}),
        (b"A.PY", {"Python"}),
        (b"page.blade.php", {"Blade"}),
        (b"archive.unknown.go", {"Go"}),
        (b"plain", set()),
        (b"dir.py/plain", set()),
        (b"\xff.go", {"Go"}),
    ],
)
def test_by_name_and_extension(path: bytes, expected: set[str]) -> None:
    assert languages_of(path) == expected


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("GO", "Go"), ("golang", "Go"), ("c++", "C++"), ("js", "JavaScript"), ("nonsense", None)],
)
def test_names_and_aliases(spelling: str, name: str | None) -> None:
    assert canonical(spelling) == name


def test_a_name_wins_over_another_languages_alias() -> None:
    assert all(canonical(spelling) for spelling in spellings())
    assert canonical("python") == "Python"
