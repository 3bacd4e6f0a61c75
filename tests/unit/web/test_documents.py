"""Every operation that a page sends fits the schema."""

from importlib.resources import files
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

import api.graphql
from api.web.asking import document, document_at, shown

NAMES = sorted(Path(str(entry)).stem for entry in (files("api.web") / "documents").iterdir())


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    sources = sorted(Path(next(iter(api.graphql.__path__))).glob("*.graphql"))
    return build_schema("\n".join(path.read_text(encoding="utf-8") for path in sources))


def test_there_are_documents() -> None:
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_a_document_fits_the_schema(schema: GraphQLSchema, name: str) -> None:
    assert validate(schema, parse(document(name))) == []


def test_null_variables_are_not_shown() -> None:
    assert shown("insights", {"first": 25, "after": None}).variables == {"first": 25}


@pytest.mark.parametrize("name", ["insight", "cells"])
def test_a_document_that_reads_the_past_fits_too(schema: GraphQLSchema, name: str) -> None:
    text = document_at(name, (("insights", 3), ("series_points", 9)))
    assert '@atGeneration(projection: "series_points", generation: 9)' in text
    assert validate(schema, parse(text)) == []
    assert document_at(name, ()) == document(name)
