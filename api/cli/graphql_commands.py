"""``millstream api``, ``login`` and ``graphql schema``."""

import click

from api.auth.login_links import VALID_FOR_S, make_login_link
from api.auth.user import ADMIN_NAME
from api.cli.client import base_url, connect, require_answer
from infra.settings import load_settings


@click.group(epilog="Example: millstream graphql schema > schema.graphql")
def graphql() -> None:
    """The GraphQL schema."""


@graphql.command(epilog="Example: millstream graphql schema | less")
def schema() -> None:
    """Print the whole schema, with what every field means."""
    from api.graphql.schema import sdl

    click.echo(sdl(), nl=False)


@click.command(epilog="Example: MILLSTREAM_BIND_PORT=8080 millstream api")
def api() -> None:
    """Run the API and the pages until a signal."""
    from api.process import run

    run(load_settings())


@click.command(epilog="Example: xdg-open $(millstream login --user alice)")
@click.option("--user", help="Whose account it is; without: the local admin's.")
def login(user: str | None) -> None:
    """Print a link that logs one browser in, once, within 15 minutes."""
    from api.cli.user_command import one_of

    settings = load_settings()
    url = base_url(settings)
    require_answer(url)
    name = ADMIN_NAME
    if user is not None:
        with connect(settings) as client:
            name = one_of(client, user).username
    click.echo(make_login_link(settings.home, url, user=name, valid_for_s=VALID_FOR_S))


commands: list[click.Command] = [api, graphql, login]
