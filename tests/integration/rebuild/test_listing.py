"""How many rows a generation holds: counted where that is cheap, and not known rather than 0 where it is not."""

import pytest
from sqlalchemy import Engine, text

from projections.catalogue import projection
from projections.generations import ensure_generation
from projections.rebuild import listing
from projections.rebuild.listing import generations_of

_ROW = """
insert into "{schema}".site_settings (key, changed_by, changed_at, position) values ('a', 'a test', now(), 'p')
"""


def test_small_tables_are_counted_and_large_ones_are_not_said_to_be_empty(
    projector: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = ensure_generation(projector, projection("settings")).schema_name
    with projector.connect() as connection:
        connection.execute(text(_ROW.format(schema=schema)))
        (found,) = generations_of(connection, "settings")
        assert (found.rows, found.rows_known) == (1, True), "no statistics were taken yet"
        monkeypatch.setattr(listing, "_COUNTED_BYTES", -1)
        (found,) = generations_of(connection, "settings")
        assert not found.rows_known, "too large to count, and never analysed"
        connection.rollback()
