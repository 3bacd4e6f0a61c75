"""``millstream settings``: what may be changed while everything runs."""

import math
from datetime import datetime
from typing import Final

import click
import msgspec

from api.cli.client import connect
from api.cli.output import print_json, print_table
from infra.settings import load_settings
from schemas.errors import MillstreamError

_SHOWN: Final = "fragment Shown on SiteSetting { key value default least most help changedBy changedAt }\n"
_LIST: Final = "query Settings { siteSettings { ...Shown } }\n" + _SHOWN
_CHANGE: Final = (
    "mutation Change($key: String!, $value: Float) {"
    " changeSiteSetting(key: $key, value: $value) { position setting { ...Shown } } }\n" + _SHOWN
)


class Shown(msgspec.Struct, rename="camel"):
    """A setting as commands show it."""

    key: str
    value: float | None
    default: float | None
    least: float
    most: float
    help: str
    changed_by: str | None
    changed_at: datetime | None


class _Listed(msgspec.Struct, rename="camel"):
    site_settings: list[Shown]


class _Changed(msgspec.Struct, rename="camel"):
    class Payload(msgspec.Struct):
        position: str
        setting: Shown

    change_site_setting: Payload


@click.group(epilog="Example: millstream settings set insights.query.worker.rateLimit 20")
def settings() -> None:
    """Show and change settings of the whole site: they hold within a second, for every process."""


@settings.command("list", epilog="Example: millstream settings list --json | jq '.[].key'")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per setting.")
def list_(as_json: bool) -> None:
    """Show every setting, what holds now, and what it may be."""
    with connect(load_settings()) as client:
        found = client.ask(_LIST, {}, _Listed).site_settings
    if as_json:
        print_json([msgspec.to_builtins(one) for one in found])
        return
    print_table(
        ("SETTING", "VALUE", "DEFAULT", "FROM", "TO", "WHAT IT IS"),
        [
            (
                one.key,
                _shown(one, one.value),
                _shown(one, one.default),
                number(one.least),
                number(one.most),
                one.help,
            )
            for one in found
        ],
        empty="There are no settings.",
    )


class NoNumber(MillstreamError):
    """The value of a setting is none."""


@settings.command(
    "set",
    epilog="Example: millstream settings set insights.query.worker.concurrency 4",
    # A negative number is a value, not an option: it is for the API to say what values a setting takes.
    context_settings={"ignore_unknown_options": True},
)
@click.argument("key")
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Give the setting KEY the number VALUE."""
    _say(_change(key, _number(key, value)))


@settings.command(epilog="Example: millstream settings unset insights.query.worker.rateLimit")
@click.argument("key")
def unset(key: str) -> None:
    """Give the setting KEY its default back."""
    _say(_change(key, None))


def number(value: float | None) -> str:
    """As people write it; no limit is said in words."""
    return "no limit" if value is None else f"{value:,.10g}"


def _shown(one: Shown, value: float | None) -> str:
    """No value is no limit, unless the setting says what it is instead."""
    measured = value is None and "no value:" in one.help and "no value: no limit" not in one.help
    return "no value" if measured else number(value)


def _number(key: str, text: str) -> float:
    """Raises NoNumber."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise NoNumber(
            f"{text!r} is no number, and {key} takes one",
            remedy=f"Give a number (millstream settings list shows the bounds), or the default back: millstream settings unset {key}",
        )
    return found


def _change(key: str, value: float | None) -> Shown:
    with connect(load_settings()) as client:
        return client.ask(_CHANGE, {"key": key, "value": value}, _Changed).change_site_setting.setting


def _say(one: Shown) -> None:
    click.echo(f"{one.key} is {_shown(one, one.value)} now.")


commands: list[click.Command] = [settings]
