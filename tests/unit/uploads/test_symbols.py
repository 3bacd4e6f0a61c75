"""Symbols: what real indexers write, and what is none."""

import pytest

from streams.uploads.symbols import NoSymbol, Package, package_of


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("local 12", None),
        ("local abc-1", None),
        ("local 8(one)", None),
        (
            "scip-python python snuba 23.1 `snuba.web.views`/index().(request)",
            Package("scip-python", "python", "snuba", "23.1"),
        ),
        (
            "scip-python python snuba 23.1 `snuba.web.views`/__init__:",
            Package("scip-python", "python", "snuba", "23.1"),
        ),
        (
            "scip-typescript npm @types/node 20.1.0 fs/`promises.d.ts`/readFile(+1).",
            Package("scip-typescript", "npm", "@types/node", "20.1.0"),
        ),
        (
            "scip-go gomod github.com/org/lib v1.2.3 `github.com/org/lib/pkg`/Thing#Method().",
            Package("scip-go", "gomod", "github.com/org/lib", "v1.2.3"),
        ),
        (
            "rust-analyzer cargo serde 1.0.1 de/Deserializer#",
            Package("rust-analyzer", "cargo", "serde", "1.0.1"),
        ),
        ("rust-analyzer cargo std . macros/println!", None),
        ("semanticdb maven . . com/example/Foo#[T]", None),
        ("cxx . . $ ns/function(a1b2).", None),
        ("a  scheme with  blank na  me 1 a#", Package("a scheme", "with blank", "na me", "1")),
        ("s m n 1 `it``s`#", Package("s", "m", "n", "1")),
    ],
)
def test_symbols_of_real_indexers(text: str, package: Package | None) -> None:
    assert package_of(text.encode()) == package


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "local ",
        "local a b",
        "nonsense",
        "a b c d",
        "a b c d ",
        "a b c d e",
        "a b c d `e#",
        "a b c d e#f",
        "a with blank name 1 a#",
        " m n 1 a#",
    ],
)
def test_what_is_no_symbol(text: str) -> None:
    with pytest.raises(NoSymbol):
        package_of(text.encode())


def test_what_is_no_text() -> None:
    with pytest.raises(NoSymbol):
        package_of(b"\xff")
