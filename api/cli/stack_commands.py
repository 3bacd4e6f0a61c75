"""``millstream up``, ``stack``, ``logs`` and ``psql``: the embedded stack from the terminal."""

import itertools
import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import psutil
from psycopg.conninfo import conninfo_to_dict

from infra.embedded import background
from infra.embedded.errors import NotRunning, StackError
from infra.embedded.home import Home, open_home
from infra.embedded.logs import follow, log_path, tail
from infra.embedded.machine import require_git
from infra.embedded.ports import LOOPBACK
from infra.embedded.postgres import find_installation
from infra.embedded.services import already_up, page_port, running_services, services_lock, services_run
from infra.embedded.signals import StopRequested, stop_signals_raise
from infra.embedded.stack import Endpoints, read_endpoints, start
from infra.installation import set_up
from infra.postgres.role import Role
from infra.settings import Settings, Source, load_settings

_NOT_RUNNING: Final = 3
_PSQL_ROLES: Final = {
    "app": Role.APP,
    "worker": Role.WORKER,
    "projector": Role.PROJECTOR,
    "admin": Role.ADMIN,
}
_MEGABYTE: Final = 1_000_000


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command(epilog="Example: millstream up        then, in another terminal: millstream insight list")
def up() -> None:
    """Start everything and stay: Kafka, PostgreSQL, projector, worker and API.

    Ctrl-C stops every process in order. Data is kept below .millstream (or MILLSTREAM_HOME). A stack that runs already
    (millstream stack start) is joined, and left running.
    """
    settings = load_settings()
    if services_run(settings.home):
        raise already_up(Home(settings.home.absolute()))
    require_git()
    began = time.monotonic()
    try:
        with stop_signals_raise(), ExitStack() as undo:
            home = open_home(settings.home)
            stack = (
                None
                if _external(settings)
                else undo.enter_context(start(home.folder, report=_say, kafka_heap_mb=settings.kafka_heap_mb))
            )
            undo.enter_context(services_lock(home))
            port = page_port(home, wanted=_named_port(settings), report=_say)
            _say("Preparing topics and database roles")
            set_up(load_settings())
            services = undo.enter_context(running_services(home, port, report=_say))
            _say(
                f"Up after {time.monotonic() - began:.1f} s: http://{LOOPBACK}:{port}/   (Ctrl-C stops everything)"
            )
            _say("log in: millstream login   (in another terminal; it prints a link that works once)")
            while not services.wait(timeout_s=1.0):
                if stack is not None and not stack.endpoints.owner.alive():
                    raise StackError(
                        "the stack that was joined has been stopped", remedy="millstream up starts its own"
                    )
    except StopRequested:
        _say("Stopped")


def _external(settings: Settings) -> bool:
    """Whether both servers are named, so that no embedded one is needed."""
    return (
        bool(settings.kafka_bootstrap and settings.database_url.get_secret_value()) and not settings.embedded
    )


def _named_port(settings: Settings) -> int | None:
    """The port of the pages, where the environment or the file names one."""
    return None if settings.sources["bind_port"] is Source.DEFAULT else settings.bind_port


@click.group(epilog="Example: millstream stack start && millstream stack status --json")
def stack() -> None:
    """Start, stop or inspect the embedded Kafka and PostgreSQL."""


@stack.command("start", epilog="Example: millstream stack start")
def stack_start() -> None:
    """Start Kafka and PostgreSQL in the background; returns when both answer."""
    settings = load_settings()
    endpoints = background.start_in_background(
        settings.home, report=_say, kafka_heap_mb=settings.kafka_heap_mb
    )
    click.echo(f"Kafka at {endpoints.kafka_bootstrap}, PostgreSQL at {_address(endpoints)}")


@stack.command("stop", epilog="Example: millstream stack stop")
def stack_stop() -> None:
    """Stop the stack of this home, whichever process runs it. Nothing to stop is no error."""
    try:
        background.stop_stack(load_settings().home, report=_say)
    except NotRunning as error:
        _say(str(error))


@stack.command("status", epilog="Example: millstream stack status --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def stack_status(ctx: click.Context, as_json: bool) -> None:
    """Show what runs, where and how large. The exit code is 3 when nothing runs."""
    home = load_settings().home
    endpoints = read_endpoints(home)
    if as_json:
        click.echo(json.dumps(_status(home, endpoints)))
    elif endpoints is None:
        click.echo(f"No stack runs in {home}")
    else:
        click.echo(f"Stack in {home}, run by process {endpoints.owner.pid}")
        click.echo(
            f"  kafka     {endpoints.kafka_bootstrap:<22} pid {endpoints.kafka_pid:<8} {_resident_mb(endpoints.kafka_pid)} MB"
        )
        click.echo(
            f"  postgres  {_address(endpoints):<22} pid {endpoints.postgres_pid:<8} {_resident_mb(endpoints.postgres_pid)} MB"
        )
    if endpoints is None:
        ctx.exit(_NOT_RUNNING)


def _status(home: Path, endpoints: Endpoints | None) -> dict[str, object]:
    if endpoints is None:
        return {"home": str(home), "running": False}
    return {
        "home": str(home),
        "running": True,
        "owner": {"pid": endpoints.owner.pid},
        "kafka": {
            "address": endpoints.kafka_bootstrap,
            "pid": endpoints.kafka_pid,
            "resident_mb": _resident_mb(endpoints.kafka_pid),
        },
        "postgres": {
            "address": _address(endpoints),
            "pid": endpoints.postgres_pid,
            "resident_mb": _resident_mb(endpoints.postgres_pid),
        },
    }


def _address(endpoints: Endpoints) -> str:
    found = conninfo_to_dict(endpoints.database_url)
    return f"{found['host']}:{found['port']}"


def _resident_mb(pid: int) -> int:
    """Resident memory of a process and those below it; pages that they share are counted once (proportionally)."""
    total = 0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:
        return total // _MEGABYTE
    return total // _MEGABYTE


@click.command(epilog="Example: millstream logs worker -f")
@click.argument("name", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Stay and show new lines as they come.")
@click.option(
    "-n",
    "--lines",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    help="Last lines of each log to begin with.",
)
def logs(name: str | None, following: bool, lines: int) -> None:
    """Show what the processes of the stack wrote; NAME is one of them, such as kafka, postgres, worker, projector, api."""
    home = Home(load_settings().home)
    known = sorted(path.stem for path in home.logs.glob("*.log"))
    if name is not None and name not in known:
        raise StackError(
            f"no log of {name!r} in {home.logs}",
            remedy=f"there are: {', '.join(known)}" if known else "start something first: millstream up",
        )
    if not known:
        raise StackError(
            f"nothing has run in {home.folder} yet", remedy="start something first: millstream up"
        )
    names = [name] if name is not None else known
    paths = [log_path(home.logs, each) for each in names]
    width = max(len(each) for each in names)

    def show(path: Path, line: str) -> None:
        click.echo(line if len(names) == 1 else f"{path.stem:<{width}} | {line}")

    shown = {path: path.stat().st_size for path in paths} if following else None
    for path, line in itertools.chain.from_iterable(
        ((path, line) for line in tail(path, lines)) for path in paths
    ):
        show(path, line)
    if shown is None:
        return
    try:
        for path, line in follow(paths, stop=lambda: False, start=shown):
            show(path, line)
    except KeyboardInterrupt:
        return


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: millstream psql -c 'select current_user'        millstream psql --role admin -l",
)
@click.option(
    "--role",
    type=click.Choice(list(_PSQL_ROLES)),
    default="app",
    show_default=True,
    help="Who to be; app reads what the API reads.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(role: str, arguments: tuple[str, ...]) -> None:
    """Open psql on the database; ARGUMENTS are psql's own. The password is handed over in the environment."""
    program = find_installation() / "bin" / "psql"
    found = conninfo_to_dict(load_settings().dsn(_PSQL_ROLES[role]))
    variables = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environ |= {
        variables[key]: str(value) for key, value in found.items() if key in variables and value is not None
    }
    # Tables of the live generations by their plain names; row security shows nothing to a session that does not ask.
    environ["PGOPTIONS"] = "-c search_path=live,runtime,public -c millstream.denied_repositories={}"
    sys.stdout.flush()
    os.execve(program, [str(program), *arguments], environ)


commands: list[click.Command] = [up, stack, logs, psql]
