"""The schema is a promise: it changes only where this file's neighbour changes with it, and never breaks a client."""

from pathlib import Path

from graphql import build_schema
from graphql.utilities import find_breaking_changes

from api.graphql.schema import executable_schema, sdl

PUBLISHED = Path(__file__).with_name("schema.graphql")


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    """After a change: millstream graphql schema > tests/contract/api/schema.graphql"""
    assert PUBLISHED.read_text(encoding="utf-8") == sdl()


def test_nothing_breaks_clients_of_the_committed_schema() -> None:
    assert (
        find_breaking_changes(build_schema(PUBLISHED.read_text(encoding="utf-8")), executable_schema()) == []
    )


def test_every_type_and_every_root_field_is_described() -> None:
    schema = executable_schema()
    for root in (schema.query_type, schema.mutation_type):
        assert root is not None
        for name, field in root.fields.items():
            assert field.description, name
