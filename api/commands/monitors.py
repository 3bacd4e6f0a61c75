"""``monitor.created`` and ``monitor.updated`` from the input of the mutations. Secrets are given away first: events name them only."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from api.commands.errors import InputRefused, query_refused
from schemas.events import ActionKind, EmailPriority, MonitorAction, SecretPlace
from schemas.ids import stable_id
from schemas.monitors.events import MAX_ACTIONS, MAX_RECIPIENTS
from streams.monitors.delivery.address import UrlRefused, target_of
from streams.monitors.delivery.signing import SigningKeyInvalid, key_bytes
from streams.monitors.forgetting import SIGNING_KIND, url_kind
from streams.search.query import HistoryQuery, QueryError, parse_history

MAX_DESCRIPTION: Final = 500
MAX_QUERY: Final = 10_000
MAX_URL: Final = 2_000
Input = Mapping[str, object]
_KINDS: Final = {
    "email": ActionKind.EMAIL,
    "webhook": ActionKind.WEBHOOK,
    "slack_webhook": ActionKind.SLACK_WEBHOOK,
}
_SHOWN: Final = {"email": "email", "webhook": "webhook", "slack_webhook": "slackWebhook"}


class Keeping(Protocol):
    """Keeps a secret: the vault."""

    def __call__(self, secret: str, kind: str) -> SecretPlace: ...


class Making(Protocol):
    """Makes the key of the signatures of an action, where nobody gives one: of the same wish the same."""

    def __call__(self, action_id: int) -> str: ...


class Known(msgspec.Struct, frozen=True):
    """An action that the monitor has: what is not given anew stays."""

    kind: ActionKind
    url_fingerprint: str | None
    url: SecretPlace | None
    signing: SecretPlace | None


def description_of(given: object, field: str = "monitor.description") -> str:
    """Raises InputRefused."""
    text = given.strip() if isinstance(given, str) else ""
    if not text:
        raise InputRefused(field, "a description is required", remedy="Say what it is for.")
    if len(text) > MAX_DESCRIPTION:
        raise InputRefused(field, f"{len(text)} characters; at most {MAX_DESCRIPTION} are allowed")
    return text


def query_of(given: object, field: str = "trigger.query") -> HistoryQuery:
    """The parsed query of a trigger. Raises InputRefused with the place of the fault."""
    text = given if isinstance(given, str) else ""
    if not text.strip():
        raise InputRefused(field, "a query is required", remedy="Say what to look for: type:diff TODO.")
    if len(text) > MAX_QUERY:
        raise InputRefused(
            field, f"the query has {len(text):,} characters; at most {MAX_QUERY:,} are allowed"
        )
    try:
        return parse_history(text)
    except QueryError as error:
        raise query_refused(field, error) from error


class ActionReader:
    """Reads action inputs. ``user_of`` gives the name behind a namespace's id; ``seed`` makes the ids of new actions."""

    def __init__(
        self,
        *,
        keep: Keeping,
        make_key: Making,
        user_of: Callable[[object, str], str],
        slack_hosts: Sequence[str],
        seed: str,
        known: Mapping[int, Known] | None = None,
    ) -> None:
        self._keep = keep
        self._make_key = make_key
        self._user_of = user_of
        self._slack_hosts = frozenset(host.lower() for host in slack_hosts)
        self._seed = seed
        self._known = known or {}

    def actions(
        self, given: object, id_of: Callable[[object, ActionKind, str], int | None]
    ) -> list[MonitorAction]:
        """All actions, nothing kept until all were read. ``id_of`` gives the number of an action that is there. Raises InputRefused."""
        listed = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
        if not listed:
            raise InputRefused("actions", "at least one action is required", remedy="Say whom to tell.")
        if len(listed) > MAX_ACTIONS:
            raise InputRefused("actions", f"{len(listed)} actions; at most {MAX_ACTIONS} are allowed")
        for keep in (
            None,
            self._keep,
        ):  # the first time only looks, so that nothing is kept of what is refused
            found = [self._action(one, number, id_of, keep) for number, one in enumerate(listed)]
        if len({one.action_id for one in found}) != len(found):
            raise InputRefused("actions", "one action is named twice")
        return found

    def _action(
        self,
        given: Input,
        number: int,
        id_of: Callable[[object, ActionKind, str], int | None],
        keep: Keeping | None,
    ) -> MonitorAction:
        named = [name for name in _KINDS if isinstance(given.get(name), Mapping)]
        if len(named) != 1:
            raise InputRefused(
                f"actions[{number}]", "exactly one of email, webhook and slackWebhook is needed"
            )
        (name,) = named
        field, kind, inner = f"actions[{number}].{_SHOWN[name]}", _KINDS[name], given[name]
        body = inner if isinstance(inner, Mapping) else {}
        identity = id_of(body.get("id"), kind, field)
        fields = body.get("update") if isinstance(body.get("update"), Mapping) else body
        fields = fields if isinstance(fields, Mapping) else {}
        known = None if identity is None else self._known.get(identity)
        if identity is not None and (known is None or known.kind is not kind):
            raise InputRefused(f"{field}.id", "this monitor has no such action")
        action_id = (
            identity if identity is not None else stable_id(f"monitor-action\x1f{self._seed}\x1f{number}")
        )
        if kind is ActionKind.EMAIL:
            return self._email(fields, action_id, field)
        return self._webhook(fields, action_id, kind, field, known, keep)

    def _email(self, given: Input, action_id: int, field: str) -> MonitorAction:
        listed = given.get("recipients")
        names = (
            [self._user_of(one, f"{field}.recipients") for one in listed] if isinstance(listed, list) else []
        )
        if not names:
            raise InputRefused(f"{field}.recipients", "at least one recipient is required")
        if any("@" in name for name in names):
            raise InputRefused(f"{field}.recipients", "recipients are users, not addresses")
        if len(names) > MAX_RECIPIENTS:
            raise InputRefused(f"{field}.recipients", f"at most {MAX_RECIPIENTS} recipients are allowed")
        header = given.get("header")
        return MonitorAction(
            action_id=action_id,
            kind=ActionKind.EMAIL,
            enabled=bool(given.get("enabled")),
            include_results=bool(given.get("include_results")),
            priority=EmailPriority(str(given.get("priority") or "NORMAL").lower()),
            header=header[:1_000] if isinstance(header, str) else "",
            recipients=list(dict.fromkeys(names)),
        )

    def _webhook(
        self,
        given: Input,
        action_id: int,
        kind: ActionKind,
        field: str,
        known: Known | None,
        keep: Keeping | None,
    ) -> MonitorAction:
        url = given.get("url")
        url = url.strip() if isinstance(url, str) else ""
        place = known.url if known is not None and not url else None
        if place is None:
            host = self._host_of(url, kind, f"{field}.url")
            place = SecretPlace(ref="unkept", fingerprint="", host=host)
            if keep is not None:
                kept = keep(url, url_kind(kind))
                place = msgspec.structs.replace(kept, host=host)
        return MonitorAction(
            action_id=action_id,
            kind=kind,
            enabled=bool(given.get("enabled")),
            include_results=bool(given.get("include_results")),
            url=place,
            signing=self._signing(given, action_id, field, known, keep)
            if kind is ActionKind.WEBHOOK
            else None,
        )

    def _signing(
        self, given: Input, action_id: int, field: str, known: Known | None, keep: Keeping | None
    ) -> SecretPlace | None:
        key = given.get("signing_secret")
        if not isinstance(key, str) or not key:
            if known is not None and known.signing is not None:
                return known.signing
            return None if keep is None else keep(self._make_key(action_id), SIGNING_KIND)
        try:
            key_bytes(key)
        except SigningKeyInvalid as error:
            raise InputRefused(f"{field}.signingSecret", str(error), remedy=error.remedy) from error
        return None if keep is None else keep(key, SIGNING_KIND)

    def _host_of(self, url: str, kind: ActionKind, field: str) -> str:
        if len(url) > MAX_URL:
            raise InputRefused(field, f"the URL has {len(url)} characters; at most {MAX_URL} are allowed")
        try:
            target = target_of(url)
        except UrlRefused as error:
            raise InputRefused(field, str(error), remedy=error.remedy) from error
        if kind is ActionKind.SLACK_WEBHOOK:
            if target.host.lower() not in self._slack_hosts:
                raise InputRefused(
                    field,
                    f"a Slack webhook is on {' or '.join(sorted(self._slack_hosts))}",
                    remedy="Use the address that Slack gave, a webhook for anything else, or allow this host: MILLSTREAM_ACTION_SLACK_HOSTS.",
                )
            if not target.is_tls and self._slack_hosts == {"hooks.slack.com"}:
                raise InputRefused(
                    field, "a Slack webhook begins with https://", remedy="Use the address that Slack gave."
                )
        return target.host.lower()
