"""Settings of what leaves the system for people: links, webhooks, mails."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode


class DeliverySettings(BaseSettings):
    """What code monitors send, where to, and through whom."""

    external_url: str = Field(
        default="",
        description="Address under which people reach the pages, for links in messages; empty: bind_host.",
    )
    action_max_age_s: float = Field(
        default=86_400.0,
        gt=0,
        description="What a monitor has to send is not sent any more when it is older.",
    )
    action_timeout_s: float = Field(
        default=15.0,
        gt=0,
        le=300,
        description="Longest time for one delivery of a monitor, resolving included.",
    )
    action_allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Names and networks that webhooks may reach though they are private (comma separated).",
    )
    action_slack_hosts: Annotated[list[str], NoDecode] = Field(
        default=["hooks.slack.com"], description="Hosts of Slack's incoming webhooks (comma separated)."
    )
    action_ca_file: Path | None = Field(
        default=None,
        description="PEM file of further authorities that sign certificates of webhooks' receivers.",
    )
    smtp_host: str = Field(default="", description="Mail server of monitors; empty: no mail is sent.")
    smtp_port: int = Field(default=587, ge=1, le=65_535, description="Port of the mail server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection to the mail server is secured."
    )
    smtp_username: str | None = Field(
        default=None, description="Who logs in to the mail server; unset: nobody."
    )
    smtp_password: SecretStr | None = Field(default=None, description="Password at the mail server.")
    smtp_from: str = Field(default="millstream@localhost", description="Sender of mails.")
    admin_email: str = Field(
        default="",
        description="Mail address of the local admin, for whom no account is open; empty: the local admin gets no mail.",
    )
    smtp_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities that sign the mail server's certificate."
    )
