"""Roles as DESIGN 9 wants them, on a server of its own: what each may do, and what an administrator is told."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from infra.installation import set_up_database
from infra.postgres.connect import connect, engine, release_advisory_lock, try_advisory_lock
from infra.postgres.errors import DatabaseRefused, DatabaseUnreachable
from infra.postgres.role import OPERATOR, OWNER, SERVING, Role
from infra.postgres.roles import bootstrap
from infra.postgres.runtime import metadata
from infra.settings import Settings
from tests.stack import StackUnderTest, fresh_database

LIMITED = "limited_admin"
PASSWORDS = {role: f"password-of-{role}" for role in SERVING}


def run(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def as_role(dsn: str, role: Role) -> str:
    return make_conninfo(dsn, user=role.database_name, password=PASSWORDS[role])


@pytest.fixture(scope="module")
def superuser(own_stack: StackUnderTest) -> Iterator[str]:
    """The superuser's URL of an empty database on a server without our roles."""
    with fresh_database(own_stack.database_url, "roles") as url:
        yield url


@pytest.fixture(scope="module")
def limited(superuser: str) -> str:
    """The same database, as its owner who is no superuser."""
    run(superuser, f"CREATE ROLE {LIMITED} LOGIN CREATEROLE CREATEDB PASSWORD 'limited'")
    with psycopg.connect(superuser, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(LIMITED)))
    return make_conninfo(superuser, user=LIMITED, password="limited")


@pytest.fixture(scope="module")
def ready(superuser: str, limited: str) -> str:
    """The database with roles and schemas, made by the superuser after the other admin was refused."""
    with pytest.raises(DatabaseRefused) as caught:
        bootstrap(limited, PASSWORDS)
    assert "CREATE ROLE millstream_projector LOGIN BYPASSRLS" in caught.value.remedy
    assert "password-of" not in f"{caught.value} {caught.value.remedy}"
    assert (
        run(
            superuser,
            "SELECT 1 FROM pg_roles WHERE rolname LIKE 'millstream\\_%' AND rolname <> 'millstream_admin'",
        )
        == []
    )
    bootstrap(superuser, PASSWORDS, statement_timeouts_s={Role.APP: 20, Role.WORKER: 60})
    return superuser


def settings_of(own_stack: StackUnderTest, dsn: str) -> Settings:
    return Settings(
        home=own_stack.home,
        kafka_bootstrap=own_stack.kafka_bootstrap,
        database_url=SecretStr(dsn),
        database_projector_password=SecretStr(PASSWORDS[Role.PROJECTOR]),
        database_worker_password=SecretStr(PASSWORDS[Role.WORKER]),
        database_app_password=SecretStr(PASSWORDS[Role.APP]),
    )


@pytest.fixture(scope="module")
def installed(own_stack: StackUnderTest, ready: str) -> Settings:
    settings = settings_of(own_stack, ready)
    set_up_database(settings)
    return settings


def test_the_roles_are_what_they_have_to_be(ready: str) -> None:
    rows = run(
        ready,
        "SELECT rolname, rolcanlogin, rolbypassrls, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname LIKE 'millstream\\_%'",
    )
    found = {row[0]: row[1:] for row in rows if row[0] != "millstream_admin"}
    assert found == {
        OWNER: (False, False, False, False, False),
        OPERATOR: (False, False, False, False, False),
        "millstream_projector": (True, True, False, False, False),
        "millstream_worker": (True, True, False, False, False),
        "millstream_app": (True, False, False, False, False),
    }


def test_a_second_bootstrap_changes_nothing(ready: str) -> None:
    states = []
    for _ in range(2):
        bootstrap(ready, PASSWORDS, statement_timeouts_s={Role.APP: 20, Role.WORKER: 60})
        states.append(run(ready, "SELECT oid, xmin::text, rolname FROM pg_authid ORDER BY 1"))
    assert states[0] == states[1]


def test_many_starts_at_once_do_not_disturb_each_other(own_stack: StackUnderTest, ready: str) -> None:
    with fresh_database(own_stack.database_url, "at_once") as url:
        errors: list[BaseException] = []

        def start() -> None:
            try:
                set_up_database(settings_of(own_stack, url))
            except BaseException as error:  # noqa: BLE001 - told to the test's own thread
                errors.append(error)

        threads = [threading.Thread(target=start) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert run(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'runtime'") == [
            (len(metadata.tables),)
        ]


def test_tables_of_an_earlier_build_get_what_they_lack(own_stack: StackUnderTest) -> None:
    with fresh_database(own_stack.database_url, "earlier") as url:
        set_up_database(settings_of(own_stack, url))
        run(url, "ALTER TABLE runtime.rebuilds DROP COLUMN accepted")
        set_up_database(settings_of(own_stack, url))
        assert run(url, "SELECT accepted FROM runtime.rebuilds") == []


def test_an_admin_who_is_no_superuser_goes_on_once_the_remedies_are_run(ready: str, limited: str) -> None:
    run(ready, "DROP SCHEMA IF EXISTS runtime CASCADE; DROP SCHEMA IF EXISTS vault CASCADE")
    with pytest.raises(DatabaseRefused) as caught:
        bootstrap(limited, PASSWORDS, statement_timeouts_s={Role.APP: 20, Role.WORKER: 60})
    assert f'GRANT "{OWNER}" TO' in caught.value.remedy
    run(ready, f"GRANT {OWNER} TO {LIMITED}")
    bootstrap(limited, PASSWORDS, statement_timeouts_s={Role.APP: 20, Role.WORKER: 60})
    owners = run(
        ready,
        "SELECT nspname, nspowner::regrole::text FROM pg_namespace WHERE nspname IN ('runtime', 'vault') ORDER BY 1",
    )
    assert owners == [("runtime", OWNER), ("vault", OWNER)]


def test_another_password_is_not_overwritten_unless_the_database_is_ours_alone(ready: str) -> None:
    other = {**PASSWORDS, Role.APP: "another"}
    with pytest.raises(DatabaseRefused) as caught:
        bootstrap(ready, other)
    assert "MILLSTREAM_DATABASE_APP_PASSWORD" in caught.value.remedy
    assert run(as_role(ready, Role.APP), "SELECT 1") == [(1,)]
    bootstrap(ready, other, replace_passwords=True)
    bootstrap(ready, PASSWORDS, replace_passwords=True)
    assert run(as_role(ready, Role.APP), "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("role", "statement", "allowed"),
    [
        (Role.APP, "SELECT * FROM runtime.generations", True),
        (Role.APP, "SELECT * FROM runtime.installation", True),
        (Role.APP, "SELECT * FROM runtime.token_buckets", False),
        (Role.APP, "INSERT INTO runtime.installation (key, value) VALUES ('a', 'b')", False),
        (Role.APP, "SET default_transaction_read_only = off; DELETE FROM runtime.installation", False),
        (Role.APP, "CREATE SCHEMA mine", False),
        (Role.APP, "CREATE TABLE public.mine (a int)", False),
        (Role.APP, "CREATE TABLE vault.mine (a int)", False),
        (Role.APP, "SET ROLE millstream_owner", False),
        (Role.APP, "SELECT pg_read_file('PG_VERSION')", False),
        (
            Role.WORKER,
            "INSERT INTO runtime.heartbeats (process, host, pid, started_at) VALUES ('w', 'h', 1, now())",
            True,
        ),
        (Role.WORKER, "UPDATE runtime.heartbeats SET pid = 2", True),
        (Role.WORKER, "DELETE FROM runtime.heartbeats", False),
        (Role.WORKER, "CREATE SCHEMA mine", False),
        (Role.WORKER, "SET ROLE millstream_owner", False),
        (Role.PROJECTOR, "DELETE FROM runtime.heartbeats", True),
        (Role.PROJECTOR, "CREATE TEMP TABLE staging (a int)", True),
        (Role.PROJECTOR, "CREATE ROLE mine", False),
    ],
)
def test_what_each_role_may_do(installed: Settings, role: Role, statement: str, allowed: bool) -> None:
    dsn = installed.dsn(role)
    if allowed:
        run(dsn, statement)
    else:
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            run(dsn, statement)


def test_a_generation_made_by_the_projector_is_read_under_row_security(installed: Settings) -> None:
    """As the owner it makes schema, table, policy and grants; as itself it copies rows in; the app sees what the policy lets."""
    with connect(installed, Role.PROJECTOR) as connection:
        connection.execute("SET LOCAL ROLE millstream_owner")
        connection.execute("CREATE SCHEMA points_g1")
        connection.execute("CREATE TABLE points_g1.points (repo_id bigint PRIMARY KEY, value int)")
        connection.execute("ALTER TABLE points_g1.points ENABLE ROW LEVEL SECURITY")
        connection.execute(
            "CREATE POLICY readers ON points_g1.points FOR SELECT TO millstream_app "
            "USING (repo_id::text = ANY (string_to_array(nullif(current_setting('millstream.seen', true), ''), ',')))"
        )
        connection.execute("GRANT USAGE ON SCHEMA points_g1 TO millstream_app, millstream_worker")
        connection.execute(
            "GRANT SELECT ON ALL TABLES IN SCHEMA points_g1 TO millstream_app, millstream_worker"
        )
        connection.execute("RESET ROLE")
        with connection.cursor().copy("COPY points_g1.points FROM STDIN") as copy:
            copy.write_row((1, 10))
            copy.write_row((2, 20))
        connection.commit()
        query = "SELECT repo_id FROM points_g1.points ORDER BY 1"
        assert run(installed.dsn(Role.WORKER), query) == [(1,), (2,)]
        with connect(installed, Role.APP) as reader:
            assert reader.execute(query).fetchall() == []
            reader.execute("SELECT set_config('millstream.seen', '2', true)")
            assert reader.execute(query).fetchall() == [(2,)]
        connection.execute("DROP SCHEMA points_g1 CASCADE")


def test_limits_and_names_of_the_connections(installed: Settings) -> None:
    with connect(installed, Role.APP) as connection:
        row = connection.execute(
            "SELECT current_setting('statement_timeout'), current_setting('application_name'), current_setting('timezone')"
        ).fetchone()
    assert row == ("20s", "millstream-app", "UTC")
    plain = run(
        as_role(installed.require_database(), Role.APP),
        "SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only')",
    )
    assert plain == [("20s", "on")], "a person in psql has the limits too"
    pool = engine(installed, Role.WORKER, pool_size=1, name="dispatcher")
    with pool.connect() as pooled:
        assert (
            pooled.exec_driver_sql("SELECT current_setting('application_name')").scalar()
            == "millstream-dispatcher"
        )
        assert pooled.exec_driver_sql("SELECT current_user").scalar() == "millstream_worker"
    pool.dispose()


def test_a_session_lock_has_one_holder_and_goes_with_its_session(installed: Settings) -> None:
    with connect(installed, Role.WORKER, autocommit=True) as second:
        with connect(installed, Role.WORKER, autocommit=True) as first:
            assert try_advisory_lock(first, "slot.worker.0")
            assert not try_advisory_lock(second, "slot.worker.0")
            assert try_advisory_lock(second, "slot.worker.1")
            assert release_advisory_lock(second, "slot.worker.1")
            assert not release_advisory_lock(second, "slot.worker.1")
        deadline = time.monotonic() + 10.0
        while not (taken := try_advisory_lock(second, "slot.worker.0")) and time.monotonic() < deadline:
            time.sleep(0.01)  # the server ends a session after its client has gone
        assert taken


def test_a_database_that_does_not_answer(own_stack: StackUnderTest, ready: str) -> None:
    nowhere = make_conninfo(ready, port=1)
    with pytest.raises(DatabaseUnreachable) as caught:
        bootstrap(nowhere, PASSWORDS)
    assert "MILLSTREAM_DATABASE_URL" in caught.value.remedy
    assert "********" in str(caught.value)


def test_a_missing_database_is_made(ready: str) -> None:
    missing = make_conninfo(ready, dbname="made_by_bootstrap")
    try:
        bootstrap(missing, PASSWORDS)
        assert run(missing, "SELECT count(*) FROM pg_namespace WHERE nspname IN ('runtime', 'vault')") == [
            (2,)
        ]
    finally:
        run(ready, "DROP DATABASE IF EXISTS made_by_bootstrap WITH (FORCE)")


def test_a_schema_of_somebody_else_is_not_taken(own_stack: StackUnderTest, ready: str) -> None:
    with fresh_database(own_stack.database_url, "taken") as url:
        run(url, "CREATE SCHEMA runtime")
        with pytest.raises(DatabaseRefused, match="schema runtime that belongs to"):
            bootstrap(url, PASSWORDS)
