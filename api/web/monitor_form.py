"""The form of a code monitor: what was filled in, and the inputs of the mutations that it becomes. Pure."""

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from api.web.fields import FieldError, Problem
from api.web.monitor_answers import Action, Monitor


class MonitorForm(msgspec.Struct, kw_only=True):
    """``kept`` are ids of actions that stay; the rest are new ones, each where its field is filled in.

    ``no_mail``: why a mail cannot be sent as things are.
    """

    description: str = ""
    query: str = ""
    enabled: bool = True
    email: bool = True
    email_results: bool = False
    email_critical: bool = False
    webhook_url: str = ""
    webhook_results: bool = True
    slack_url: str = ""
    slack_results: bool = False
    kept: frozenset[str] = frozenset()
    key: str = ""
    no_mail: str = ""
    description_errors: list[FieldError] = []
    query_errors: list[FieldError] = []
    action_errors: list[FieldError] = []
    slack_errors: list[FieldError] = []

    @property
    def problems(self) -> list[Problem]:
        return [
            Problem(error.message, field)
            for field, errors in (
                ("description", self.description_errors),
                ("query", self.query_errors),
                ("webhook_url", self.action_errors),
                ("slack_url", self.slack_errors),
            )
            for error in errors
        ]


def blank_form(no_mail: str) -> MonitorForm:
    """A new monitor: a mail to who makes it, where one can be sent."""
    return MonitorForm(email=not no_mail, key=secrets.token_urlsafe(12))


def form_of(monitor: Monitor) -> MonitorForm:
    """A monitor that is edited: all of its actions stay."""
    return MonitorForm(
        description=monitor.description,
        query=monitor.trigger.query,
        enabled=monitor.enabled,
        email=False,
        kept=frozenset(one.id for one in monitor.actions.nodes),
        key=secrets.token_urlsafe(12),
    )


def read_form(sent: Mapping[str, object], kept: Sequence[str] = ()) -> MonitorForm:
    """What was sent. A box that was not ticked is not sent."""

    def text(name: str) -> str:
        return str(sent.get(name, "")).strip()

    return MonitorForm(
        description=text("description"),
        query=text("query"),
        enabled="enabled" in sent,
        email="email" in sent,
        email_results="email_results" in sent,
        email_critical="email_critical" in sent,
        webhook_url=text("webhook_url"),
        webhook_results="webhook_results" in sent,
        slack_url=text("slack_url"),
        slack_results="slack_results" in sent,
        kept=frozenset(kept),
        key=text("key"),
    )


def new_actions(form: MonitorForm, user_id: str) -> list[dict[str, object]]:
    """Inputs of the actions that are new; a mail goes to who fills in the form."""
    found: list[dict[str, object]] = []
    if form.email:
        email: dict[str, object] = {
            "enabled": True,
            "includeResults": form.email_results,
            "priority": "CRITICAL" if form.email_critical else "NORMAL",
            "recipients": [user_id],
            "header": "",
        }
        found.append({"email": email})
    for name, url, results in (
        ("webhook", form.webhook_url, form.webhook_results),
        ("slackWebhook", form.slack_url, form.slack_results),
    ):
        if url:
            found.append({name: {"enabled": True, "includeResults": results, "url": url}})
    return found


def kept_actions(form: MonitorForm, actions: Sequence[Action]) -> list[dict[str, object]]:
    """Inputs of the actions that stay as they are: an empty URL keeps the one there is."""
    found: list[dict[str, object]] = []
    for one in actions:
        if one.id not in form.kept:
            continue
        fields: dict[str, object] = {"enabled": one.enabled, "includeResults": one.include_results}
        if one.kind == "MonitorEmail":
            recipients = [] if one.recipients is None else [each.id for each in one.recipients.nodes]
            fields |= {"priority": one.priority, "header": one.header, "recipients": recipients}
            found.append({"email": {"id": one.id, "update": fields}})
        else:
            name = "webhook" if one.kind == "MonitorWebhook" else "slackWebhook"
            found.append({name: {"id": one.id, "update": fields | {"url": ""}}})
    return found


def edited(actions: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """New actions as the mutation that edits takes them."""
    return [{name: {"id": None, "update": fields} for name, fields in one.items()} for one in actions]
