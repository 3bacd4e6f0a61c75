"""Two generations are protected alike, or it is said in what they differ."""

from collections.abc import Iterator

import pytest
from psycopg import sql
from sqlalchemy import Engine

from infra.postgres.connect import connect
from infra.postgres.role import OWNER, Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS, RECORDINGS, SERIES_POINTS
from projections.generations import build
from projections.projection import Projection
from projections.rebuild.security import security_differences
from tests.integration.projections.conftest import Connection

OLD, NEW = "series_points_g71", "series_points_g72"
APP = Role.APP.database_name
POLICY = f"create policy visible on series_points for select to {APP} using"
CHANGES = {
    "row security is off": (
        "alter table series_points disable row level security",
        [f"row security of series_points: enabled in {OLD}, disabled in {NEW}"],
    ),
    "row security is forced": (
        "alter table series_points force row level security",
        [f"row security of series_points for its owner: not forced in {OLD}, forced in {NEW}"],
    ),
    "a policy is gone": (
        "drop policy visible on series_points",
        ["policy visible on series_points: permissive, for select, to", f"absent in {NEW}"],
    ),
    "a policy more": (
        f"create policy everything on series_points as permissive for select to {APP} using (true)",
        [f"policy everything on series_points: absent in {OLD}", f"to {APP}, using true in {NEW}"],
    ),
    "a policy is for others": (
        f"alter policy visible on series_points to {APP}",
        [f"to {APP} and {Role.WORKER.database_name}, using", f"permissive, for select, to {APP}, using"],
    ),
    "a policy is for everybody": (
        "alter policy visible on series_points to public",
        ["to everybody, using"],
    ),
    "a policy says something else": (
        "alter policy visible on series_points using (repo_id > 0)",
        [f"using (repo_id > 0) in {NEW}"],
    ),
    "a policy is for another command": (
        f"drop policy visible on series_points; {POLICY.replace('for select', 'for all')} (true)",
        ["for every command", "using true"],
    ),
    "a policy restricts": (
        f"drop policy visible on series_points; {POLICY.replace('for', 'as restrictive for', 1)} (true)",
        ["restrictive, for select"],
    ),
    "a policy checks what is written": (
        f"create policy writing on series_points for insert to {APP} with check (repo_id = 1)",
        [f"for insert, to {APP}, with check (repo_id = 1) in {NEW}"],
    ),
    "a table may be read by more": (
        f"grant select on quarantine to {APP}",
        [f"SELECT on quarantine for {APP}: absent in {OLD}, granted in {NEW}"],
    ),
    "a table may be read by everybody": (
        "grant select on series_points to public",
        [f"SELECT on series_points for everybody: absent in {OLD}, granted in {NEW}"],
    ),
    "a table may be written": (
        f"grant update on series_points to {APP}",
        [f"UPDATE on series_points for {APP}: absent in {OLD}, granted in {NEW}"],
    ),
    "a right may be passed on": (
        f"grant select on series_points to {APP} with grant option",
        [f"SELECT on series_points for {APP}: granted in {OLD}, granted with the right to grant it in {NEW}"],
    ),
    "a table may not be read any more": (
        f"revoke select on series_points from {APP}",
        [f"SELECT on series_points for {APP}: granted in {OLD}, absent in {NEW}"],
    ),
    "a column more may be read": (
        f"grant select (value) on dead_letters to {APP}",
        [f"SELECT on dead_letters.value for {APP}: absent in {OLD}, granted in {NEW}"],
    ),
    "a column less may be read": (
        f"revoke select (path) on dead_letters from {APP}",
        [f"SELECT on dead_letters.path for {APP}: granted in {OLD}, absent in {NEW}"],
    ),
    "the schema may be used by more": (
        f"grant usage on schema {NEW} to public",
        [f"USAGE on the schema for everybody: absent in {OLD}, granted in {NEW}"],
    ),
    "the schema may be used by less": (
        f"revoke usage on schema {NEW} from {APP}",
        [f"USAGE on the schema for {APP}: granted in {OLD}, absent in {NEW}"],
    ),
    "the table has another owner": (
        f"alter table series_points owner to {Role.PROJECTOR.database_name}",
        [
            f"owner of series_points: {OWNER} in {OLD}, {Role.PROJECTOR.database_name} in {NEW}",
        ],
    ),
    "the schema has another owner": (
        f"alter schema {NEW} owner to {Role.PROJECTOR.database_name}",
        [f"owner of the schema: {OWNER} in {OLD}, {Role.PROJECTOR.database_name} in {NEW}"],
    ),
}
"""What is done to the new generation -> words that have to stand in what is said about it."""


@pytest.fixture(scope="module")
def generations(projector: Engine) -> None:
    """Two of series_points, built by the same code."""
    _built(projector, SERIES_POINTS, OLD)
    _built(projector, SERIES_POINTS, NEW)


@pytest.fixture
def session(settings: Settings, generations: None) -> Iterator[Connection]:
    """A superuser in the new generation, whose doings are undone."""
    with connect(settings, Role.ADMIN, name="test") as connection:
        connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(NEW)))
        yield connection
        connection.rollback()


@pytest.mark.parametrize("change", CHANGES)
def test_each_kind_of_change_is_found_and_said(session: Connection, change: str) -> None:
    assert security_differences(session, OLD, NEW) == []
    statement, words = CHANGES[change]
    session.execute(statement.encode())
    said = "\n".join(security_differences(session, OLD, NEW))
    for each in words:
        assert each in said
    if "owner" not in change:  # what an owner may do goes with him
        assert len(said.splitlines()) == 1


def test_the_schema_s_own_name_in_a_policy_is_no_difference(
    session: Connection,
) -> None:
    for schema in (OLD, NEW):
        session.execute(
            f"alter policy visible on {schema}.series_points"
            f" using (repo_id in (select p.repo_id from {schema}.series_planned p))".encode()
        )
    assert security_differences(session, OLD, NEW) == []
    session.execute(
        f"alter policy visible on {NEW}.series_points"
        f" using (repo_id in (select p.repo_id from {OLD}.series_planned p))".encode()
    )
    (only,) = security_differences(session, OLD, NEW)
    assert f"{OLD}.series_planned" in only.partition(f" in {OLD}, ")[2]


def test_a_table_of_one_generation_alone_has_nothing_to_differ_from(
    session: Connection,
) -> None:
    session.execute(b"create table added (x int)")
    session.execute(b"alter table series_points add column added int")
    session.execute(f"grant select on added to {APP}".encode())
    assert security_differences(session, OLD, NEW) == []


def test_every_projection_s_generations_are_alike_through_either_kind_of_connection(
    settings: Settings, projector: Engine
) -> None:
    for one in PROJECTIONS:
        if one is SERIES_POINTS:
            continue
        old, new = f"{one.name}_g71", f"{one.name}_g72"
        _built(projector, one, old)
        _built(projector, one, new)
        with projector.begin() as connection:
            assert security_differences(connection, old, new) == []
    with projector.begin() as connection:
        found = security_differences(connection, f"{RECORDINGS.name}_g71", "repositories_g72")
    assert found == [], "what both have is the runner's own, built alike"


def _built(engine: Engine, one: Projection, schema: str) -> None:
    with engine.begin() as connection:
        build(connection, one, schema, 71)
