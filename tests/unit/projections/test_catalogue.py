"""Declarations that the runner and the rows rely on."""

import subprocess
import sys

import pytest

from projections.catalogue import PROJECTIONS, UnknownProjection, projection
from projections.generations import fingerprint
from projections.projection import Projection

PURE = (
    "projections.repositories.fold",
    "projections.insights.fold",
    "projections.monitors.fold",
    "projections.obligations.fold",
    "projections.recordings.fold",
    "projections.series_points.fold",
    "projections.series_points.columns",
    "projections.settings.fold",
    "projections.uploads.fold",
    "projections.accounts.fold",
    "projections.access.fold",
)
CLIENTS = {"kafka", "faust", "psycopg", "sqlalchemy", "confluent_kafka", "aiokafka"}


@pytest.mark.parametrize("one", PROJECTIONS, ids=lambda one: one.name)
def test_tables_are_whole(one: Projection) -> None:
    tables = {table.name: table for table in one.metadata.sorted_tables}
    assert one.metadata.schema == one.name, "the placeholder that a generation replaces"
    assert all(len(table.primary_key) > 0 for table in tables.values())
    assert not any(table.foreign_keys for table in tables.values()), "another topic's rows are no condition"
    for name, column in one.restricted.items():
        assert column in tables[name].c
    for name, names in one.bookkeeping.items():
        assert names <= set(tables[name].c.keys())
    assert set(one.transient) <= set(one.topics)


@pytest.mark.parametrize("one", PROJECTIONS, ids=lambda one: one.name)
def test_rows_of_a_repository_are_under_row_security(one: Projection) -> None:
    for table in one.metadata.sorted_tables:
        if {"repo_id", "repository_id"} & set(table.c.keys()) or table.name == "repo_names":
            assert table.name in one.restricted


def test_fingerprints_tell_projections_apart_and_are_stable() -> None:
    assert len({fingerprint(one) for one in PROJECTIONS}) == len(PROJECTIONS)
    assert all(fingerprint(one) == fingerprint(one) for one in PROJECTIONS)


def test_folds_need_no_client() -> None:
    program = f"import sys; import {', '.join(PURE)}; print(sorted(set(sys.modules) & {CLIENTS!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownProjection) as caught:
        projection("dashboards")
    assert "series_points" in caught.value.remedy
