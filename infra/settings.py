"""Settings: typed, from the environment (``MILLSTREAM_*``), one TOML file, and the running embedded stack.

Precedence: environment, file, stack, default. The file is ``$MILLSTREAM_CONFIG``, else ``millstream.toml`` in the
current folder when it is there; tables in it are joined with underscores (``[kafka] bootstrap`` is ``kafka_bootstrap``).
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from infra.settings_model import PREFIX, KafkaSecurity, NotConfigured, Settings, SettingsInvalid, Source

__all__ = [
    "PREFIX",
    "KafkaSecurity",
    "NotConfigured",
    "Settings",
    "SettingsInvalid",
    "Source",
    "load_settings",
]

CONFIG_VARIABLE: Final = "MILLSTREAM_CONFIG"
DEFAULT_FILE: Final = "millstream.toml"
EXTERNAL_SESSION_TIMEOUT_MS: Final = 45_000
EXTERNAL_PARTITIONS: Final = 32


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsInvalid: an unknown key in the file, or a value that cannot be; the message names the key.
    """
    in_environment = {name for name in Settings.model_fields if os.environ.get(f"{PREFIX}{name.upper()}")}
    file = _config_file()
    in_file = _read_file(file) if file is not None else {}
    values: dict[str, Any] = {name: value for name, value in in_file.items() if name not in in_environment}
    sources = dict.fromkeys(in_file, Source.FILE) | dict.fromkeys(in_environment, Source.ENVIRONMENT)
    settings = _validated(values, sources, file)
    from_stack, embedded = _stack_values(settings)
    if from_stack:
        values |= from_stack
        sources |= dict.fromkeys(from_stack, Source.STACK)
        settings = _validated(values, sources, file)
    if settings.kafka_bootstrap and not embedded:
        defaults = {
            "partitions": EXTERNAL_PARTITIONS,
            "kafka_session_timeout_ms": EXTERNAL_SESSION_TIMEOUT_MS,
        }
        values = {name: value for name, value in defaults.items() if name not in in_environment} | values
        settings = _validated(values, sources, file)
    return settings.with_sources(sources, embedded=embedded)


def _config_file() -> Path | None:
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named).expanduser()
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsInvalid(
            f"{file} cannot be read: {error.strerror}", remedy=f"correct {CONFIG_VARIABLE}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file} is not TOML: {error}", remedy=f"correct {file}") from error
    flat = dict(_flattened(found))
    unknown = sorted(set(flat) - set(Settings.model_fields))
    if unknown:
        raise SettingsInvalid(
            f"{file} has the unknown key {unknown[0]!r}",
            remedy="millstream config lists every key, and with --explain what it is for",
        )
    return flat


def _flattened(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in table.items():
        pairs += (
            _flattened(value, f"{prefix}{name}_") if isinstance(value, dict) else [(prefix + name, value)]
        )
    return pairs


def _validated(values: Mapping[str, Any], sources: Mapping[str, Source], file: Path | None) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        source = sources.get(name)
        where = f" (in {file})" if source is Source.FILE else ""
        shown = f"{PREFIX}{name.upper()}" if source is Source.ENVIRONMENT else name
        raise SettingsInvalid(
            f"{shown}{where}: {first['msg']}",
            remedy="correct it, or unset it to get the default; millstream config --explain says what each is for",
        ) from error


def _stack_values(settings: Settings) -> tuple[dict[str, Any], bool]:
    """Endpoints of the stack that runs in this home, for what is not named elsewhere."""
    if settings.kafka_bootstrap and settings.database_url.get_secret_value():
        return {}, False
    from infra.embedded.stack import read_endpoints  # here: it needs extras that real clusters do without

    endpoints = read_endpoints(settings.home)
    if endpoints is None:
        return {}, not settings.kafka_bootstrap
    found: dict[str, Any] = {}
    if not settings.kafka_bootstrap:
        found["kafka_bootstrap"] = endpoints.kafka_bootstrap
    if not settings.database_url.get_secret_value():
        found["database_url"] = endpoints.database_url
    return found, "kafka_bootstrap" in found
