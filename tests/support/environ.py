"""The variables by which a program of ours finds an installation, and nothing of the person's who runs the tests."""

import os
from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from infra.settings import PREFIX, Settings

SECURITY: Final = (
    "kafka_security_protocol",
    "kafka_sasl_mechanism",
    "kafka_username",
    "kafka_password",
    "kafka_ca_file",
    "kafka_certificate_file",
    "kafka_key_file",
    "kafka_key_password",
)
"""Settings that say how to log in to Kafka; those of PostgreSQL stand in its URL."""


def security_of(settings: Settings) -> dict[str, str]:
    """Those variables of ``SECURITY`` that are set."""
    found: dict[str, str] = {}
    for name in SECURITY:
        value = getattr(settings, name)
        if value is not None:
            shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            found[f"{PREFIX}{name.upper()}"] = shown
    return found


def program_environ(settings: Settings, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a child process that works on this installation."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {
        **kept,
        "MILLSTREAM_HOME": str(settings.home),
        "MILLSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "MILLSTREAM_DATABASE_URL": settings.database_url.get_secret_value(),
        **security_of(settings),
        **(more or {}),
    }
