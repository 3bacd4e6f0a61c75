"""Every setting, typed, with its unit in its name, its default and its meaning. Read by ``infra.settings``."""

import ipaddress
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import Field, PrivateAttr, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from infra.postgres.dsn import masked_dsn, role_dsn
from infra.postgres.role import Role
from infra.secrets import role_password
from infra.settings_delivery import DeliverySettings
from schemas.errors import MillstreamError

PREFIX = "MILLSTREAM_"
EMBEDDED_SESSION_TIMEOUT_MS = 6_000
_MASK = "********"


class SettingsInvalid(MillstreamError):
    """A setting is unknown or has a value that cannot be."""


class NotConfigured(MillstreamError):
    """A server is needed, none is named, and no embedded stack runs."""


class Source(StrEnum):
    """Where a value comes from."""

    DEFAULT = "default"
    ENVIRONMENT = "env"
    FILE = "file"
    STACK = "stack"
    GIVEN = "given"


class KafkaSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """How to prove who we are to Kafka, for each client's adapter to translate."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = None

    def __repr__(self) -> str:
        return f"KafkaSecurity(protocol={self.protocol!r}, mechanism={self.mechanism!r})"


class Settings(DeliverySettings):
    """Every setting of every process. Construct it by :func:`load_settings`, in tests directly with keywords."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    home: Path = Field(
        default_factory=lambda: Path.cwd() / ".millstream",
        description="Folder of data, secrets, mirrors and logs of this installation.",
    )

    kafka_bootstrap: str = Field(
        default="",
        description="host:port[,host:port...] of the Kafka cluster; empty: the embedded stack of this home.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Protocol towards Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="SASL mechanism, with a SASL_* protocol."
    )
    kafka_username: str | None = Field(default=None, description="SASL user.")
    kafka_password: SecretStr | None = Field(default=None, description="SASL password.")
    kafka_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities that sign the brokers' certificates."
    )
    kafka_certificate_file: Path | None = Field(
        default=None, description="PEM file of our own certificate, for mutual TLS."
    )
    kafka_key_file: Path | None = Field(default=None, description="PEM file of our own key, for mutual TLS.")
    kafka_key_password: SecretStr | None = Field(default=None, description="Password of our own key.")
    kafka_replication_factor: int | None = Field(
        default=None,
        ge=1,
        description="Copies of each new topic; unset: 3, or the number of brokers when there are fewer.",
    )
    kafka_session_timeout_ms: int = Field(
        default=EMBEDDED_SESSION_TIMEOUT_MS,
        ge=1_000,
        description="Silence after which a group member is declared dead (45000 on a cluster of your own).",
    )
    kafka_heap_mb: int = Field(
        default=384, ge=128, description="Largest Java heap of the embedded broker, in MiB."
    )
    partitions: int = Field(
        default=8,
        ge=1,
        le=1_000,
        description="Partitions of topics keyed by repository, read once at installation (32 on a cluster of your own).",
    )
    publish_timeout_s: float = Field(
        default=60.0, gt=0, description="Longest wait for the broker to acknowledge an event."
    )
    publish_linger_ms: int = Field(
        default=5, ge=0, le=1_000, description="How long a producer waits to fill a batch."
    )

    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="postgresql:// URL of an admin of the database; used to set up roles and schemas. Empty: embedded.",
    )
    database_projector_password: SecretStr | None = Field(
        default=None, description="Password of millstream_projector; unset: made and kept."
    )
    database_worker_password: SecretStr | None = Field(
        default=None, description="Password of millstream_worker; unset: made and kept."
    )
    database_app_password: SecretStr | None = Field(
        default=None, description="Password of millstream_app; unset: made and kept."
    )
    database_pool_size: int = Field(
        default=8, ge=1, le=200, description="Connections that one process keeps at most."
    )
    database_connect_timeout_s: int = Field(
        default=10, ge=1, description="Longest wait for a database connection."
    )
    projector_statement_timeout_s: int = Field(
        default=600, ge=0, description="Longest statement of the projector; 0: no limit."
    )
    worker_statement_timeout_s: int = Field(
        default=60, ge=0, description="Longest statement of an agent; 0: no limit."
    )
    app_statement_timeout_s: int = Field(
        default=20, ge=0, description="Longest statement of the API; 0: no limit."
    )

    bind_host: str = Field(default="127.0.0.1", description="Address that the API listens on.")
    bind_port: int = Field(default=7080, ge=0, le=65_535, description="Port that the API listens on.")
    bind_beyond_loopback: bool = Field(
        default=False, description="Whether bind_host may be an address that other machines reach."
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=[], description="Names, beside localhost, under which the API is reached (comma separated)."
    )

    auth_providers: Annotated[list[Literal["tokens", "proxy"]], NoDecode] = Field(
        default=[],
        description="How people and programs on other machines prove who they are: tokens (of accounts), proxy (its header), or "
        "both (comma separated). Without one the API listens on loopback only.",
    )
    auth_proxy_header: str = Field(
        default="",
        description="Header in which a trusted proxy names the user it has authenticated, e.g. X-Forwarded-User; needs "
        "auth_providers to hold proxy.",
    )
    auth_proxy_addresses: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Addresses or networks of the proxies whose header is believed (comma separated); from all others it counts "
        "as not sent.",
    )
    vault_key_file: Path | None = Field(
        default=None,
        description="File (mode 600) with the key of the vault; unset: secrets/vault-key of the home. Machines that share a "
        "database share it.",
    )

    blob_url: str = Field(
        default="",
        description="Where large things go: a folder or an fsspec URL (s3://...); empty: home/blobs.",
    )
    removal_grace_hours: float = Field(
        default=24.0,
        gt=0,
        description="What nobody names any more (indexes and documents of deleted uploads, secrets of deleted monitors) is removed "
        "this much later.",
    )

    search_max_file_size_bytes: int = Field(
        default=2 * 1024 * 1024, ge=1, description="Larger files are not searched."
    )
    search_large_files: Annotated[list[str], NoDecode] = Field(
        default=[], description="Glob patterns of paths that are searched whatever their size."
    )

    worker_handlers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Background searches at a time; one more is kept for interactive work.",
    )
    projector_rebuilds_changed: bool | None = Field(
        default=None,
        description="Whether a projector orders a rebuild by itself when a fold or its tables have changed; unset: with the embedded stack.",
    )
    projector_batch_events: int = Field(
        default=4_000, ge=1, le=100_000, description="Most events in one transaction of a projection."
    )

    lag_interval_s: float = Field(
        default=5.0, gt=0, description="Time between two looks at how far every reader of the log is."
    )
    canary_interval_s: float = Field(
        default=10.0,
        ge=0,
        description="Time between two canary events, which show how long one takes; 0: none.",
    )

    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else JSON lines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Loopback port of the projector's metrics, the two after it are the worker's; unset: none, 0: any free ones.",
    )

    _sources: dict[str, Source] = PrivateAttr(default_factory=dict)
    _embedded: bool = PrivateAttr(default=False)

    @field_validator(
        "search_large_files",
        "allowed_hosts",
        "auth_providers",
        "auth_proxy_addresses",
        "action_allowed_hosts",
        "action_slack_hosts",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("auth_proxy_addresses", mode="after")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for one in value:
            ipaddress.ip_network(one, strict=False)
        return value

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keywords before the environment, nothing else: the file is read by :func:`load_settings`."""
        return (init_settings, env_settings)

    @property
    def rebuilds_changed(self) -> bool:
        """Whether a changed fold is rebuilt without a person's order."""
        wanted = self.projector_rebuilds_changed
        return self._embedded if wanted is None else wanted

    @property
    def embedded(self) -> bool:
        """Whether Kafka is the embedded one of this home."""
        return self._embedded

    @property
    def sources(self) -> Mapping[str, Source]:
        """Where each value came from."""
        return {name: self._sources.get(name, Source.DEFAULT) for name in type(self).model_fields}

    @property
    def secrets_folder(self) -> Path:
        """Generated passwords, mode 600."""
        return self.home / "secrets"

    @property
    def effective_blob_url(self) -> str:
        """``blob_url``, else the local folder."""
        return self.blob_url or str(self.home / "blobs")

    @property
    def kafka_security(self) -> KafkaSecurity:
        """What the clients' adapters translate."""
        return KafkaSecurity(
            protocol=self.kafka_security_protocol,
            mechanism=self.kafka_sasl_mechanism,
            username=self.kafka_username,
            password=_revealed(self.kafka_password),
            ca_file=self.kafka_ca_file,
            certificate_file=self.kafka_certificate_file,
            key_file=self.kafka_key_file,
            key_password=_revealed(self.kafka_key_password),
        )

    def require_kafka(self) -> str:
        """The bootstrap addresses. Raises NotConfigured."""
        if not self.kafka_bootstrap:
            raise NotConfigured(
                f"no Kafka is named and no embedded stack runs in {self.home}",
                remedy="millstream up (or: millstream stack start), or set MILLSTREAM_KAFKA_BOOTSTRAP",
            )
        return self.kafka_bootstrap

    def require_database(self) -> str:
        """The admin's URL. Raises NotConfigured."""
        url = self.database_url.get_secret_value()
        if not url:
            raise NotConfigured(
                f"no database is named and no embedded stack runs in {self.home}",
                remedy="millstream up (or: millstream stack start), or set MILLSTREAM_DATABASE_URL",
            )
        return url

    def role_password(self, role: Role) -> str:
        """The password of a serving role: from the settings, else made once and kept in ``home/secrets``."""
        given = {
            Role.PROJECTOR: self.database_projector_password,
            Role.WORKER: self.database_worker_password,
            Role.APP: self.database_app_password,
        }[role]
        if given is not None:
            return given.get_secret_value()
        return role_password(self.secrets_folder, role, self.require_database())

    def statement_timeout_s(self, role: Role) -> int:
        """Longest statement of a role, 0: no limit."""
        return {
            Role.PROJECTOR: self.projector_statement_timeout_s,
            Role.WORKER: self.worker_statement_timeout_s,
            Role.APP: self.app_statement_timeout_s,
            Role.ADMIN: 0,
        }[role]

    def dsn(self, role: Role) -> str:
        """``postgresql://...`` for this role, password included: never print it. Raises NotConfigured."""
        admin = self.require_database()
        if role is Role.ADMIN:
            return admin
        return role_dsn(admin, role, self.role_password(role))

    def masked(self) -> dict[str, Any]:
        """Every value as plain JSON, secrets masked."""
        shown: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name == "database_url":
                value = masked_dsn(value.get_secret_value())
            elif isinstance(value, SecretStr):
                value = _MASK
            elif isinstance(value, Path):
                value = str(value)
            shown[name] = value
        return shown

    def with_sources(self, sources: Mapping[str, Source], *, embedded: bool) -> Self:
        """Remember where the values came from, once they have been read."""
        self._sources.update(sources)
        self._embedded = embedded
        return self


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
