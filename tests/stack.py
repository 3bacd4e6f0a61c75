"""The Kafka and PostgreSQL that tests run on, wherever they come from."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from infra.embedded.processes import ProcessRef, own_ref
from infra.embedded.stack import Endpoints, start

_HOME_PREFIX = "millstream-tests-"


@dataclass(frozen=True, slots=True)
class StackUnderTest:
    """Where tests find Kafka and PostgreSQL."""

    kafka_bootstrap: str
    database_url: str
    """Of the superuser, on the database that the stack comes with; use the fixture ``database`` for one of your own."""
    home: Path
    """A folder for this stack's files; holds ``stack.json`` when embedded."""
    endpoints: Endpoints | None
    """Processes of the embedded stack; None for an external one."""


@contextmanager
def embedded_stack() -> Iterator[StackUnderTest]:
    """A stack of its own in a temporary home, gone afterwards, also when pytest is killed (its children die with it)."""
    home = new_home()
    try:
        with start(home, report=lambda line: None) as running:
            endpoints = running.endpoints
            yield StackUnderTest(endpoints.kafka_bootstrap, endpoints.database_url, home, endpoints)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def external_stack(environ: Mapping[str, str]) -> Iterator[StackUnderTest]:
    """Servers that run already: ``MILLSTREAM_KAFKA_BOOTSTRAP`` and ``MILLSTREAM_DATABASE_URL`` (a superuser's)."""
    home = new_home()
    try:
        yield StackUnderTest(
            environ["MILLSTREAM_KAFKA_BOOTSTRAP"], environ["MILLSTREAM_DATABASE_URL"], home, None
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)


def new_home() -> Path:
    """An empty temporary folder whose name says which process it belongs to."""
    me = own_ref()
    return Path(tempfile.mkdtemp(prefix=f"{_HOME_PREFIX}{me.pid}-{me.start_ticks}-"))


def remove_stale_homes() -> None:
    """Remove what test runs left behind that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_HOME_PREFIX}*"):
        pid, ticks, *_ = folder.name.removeprefix(_HOME_PREFIX).split("-")
        if folder.stat().st_uid == os.geteuid() and not ProcessRef(int(pid), int(ticks)).alive():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_database(admin_url: str, name: str) -> Iterator[str]:
    """The superuser's URL of an empty new database, dropped afterwards with whoever is still connected."""
    database = f"test_{name}_{uuid.uuid4().hex[:8]}"[-63:]
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    try:
        yield urlunsplit(urlsplit(admin_url)._replace(path=f"/{database}"))
    finally:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
            )
